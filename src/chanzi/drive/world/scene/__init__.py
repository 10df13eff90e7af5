"""Pictures of a road scene in three dimensions, rendered by Panda3D without a display."""
