"""MetaDrive: its maps, physics, traffic and judgement; its roads seen through our cameras."""
