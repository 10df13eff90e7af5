"""An outside judge of our pictures of MetaDrive: its own semantic camera at the same moment, place and angle.

    python bench/metadrive_camera.py                 four scenarios, three cameras, several moments each
    python bench/metadrive_camera.py --picture a.png the last moment: its classes, ours, and where they differ

MetaDrive's renderer wants textures and models that it fetches from the network; the semantic camera shows neither, so
stand-ins are made here: flat textures, and our own cars at its sizes. Printed are shares of pixels: intersection over
union of road and of vehicles below the horizon.
"""

import argparse
import base64
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from metadrive.component.sensors import semantic_camera
from metadrive.component.sensors.semantic_camera import SemanticCamera
from metadrive.component.vehicle import vehicle_type
from metadrive.constants import Semantics, TerrainProperty
from metadrive.engine.asset_loader import AssetLoader
from metadrive.engine.base_engine import BaseEngine
from metadrive.engine.core import engine_core
from metadrive.obs.observation_base import DummyObservation
from panda3d.core import FrameBufferProperties, loadPrcFileData

from chanzi.drive.camera import rig
from chanzi.drive.expert import expert_control
from chanzi.drive.world.look import Look
from chanzi.drive.world.metadrive import engine
from chanzi.drive.world.metadrive.roads import roads_of
from chanzi.drive.world.metadrive.world import MetaDriveWorld
from chanzi.drive.world.scene.mesh import Mesh
from chanzi.drive.world.scene.renderer import Renderer
from chanzi.drive.world.scene.roads import ground_mesh
from chanzi.drive.world.scene.shapes import car

WIDTH, HEIGHT = 640, 320
PX_PER_M = 11
SCENARIOS = ("straight", "curve", "intersection", "roundabout")
MOMENTS_S = (2.0, 6.0, 9.0, 12.0)
SEEDS = (1, 2)
CLEAR = Look(
    grass=(0, 255, 0), asphalt=(255, 0, 0), paint=(255, 0, 0), haze_m=1e7, ambient=1.0, sun=0.0, shadow=0.0, grain=0.0
)


class _OneSample(FrameBufferProperties):
    def set_multisamples(self, samples: int) -> None:
        super().set_multisamples(0 * samples)


def model(mesh: Mesh) -> str:
    """Return a mesh as glTF text; MetaDrive's models look along y, and glTF has y for up."""
    x, y, z = mesh.vertices_m.T
    vertices = np.stack([-y, z, -x], axis=1).astype("<f4")
    triangles = mesh.triangles.astype("<u4")
    data = vertices.tobytes() + triangles.tobytes()
    views = [
        {"buffer": 0, "byteOffset": 0, "byteLength": vertices.nbytes},
        {"buffer": 0, "byteOffset": vertices.nbytes, "byteLength": triangles.nbytes},
    ]
    low, high = vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3", "min": low, "max": high},
        {"bufferView": 1, "componentType": 5125, "count": triangles.size, "type": "SCALAR"},
    ]
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    return json.dumps(
        {
            "asset": {"version": "2.0"},
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
            "materials": [{"doubleSided": True}],
            "accessors": accessors,
            "bufferViews": views,
            "buffers": [{"byteLength": len(data), "uri": uri}],
        }
    )


def stand_ins(folder: Path) -> None:
    """Write what MetaDrive's renderer opens."""
    grey = np.full((256, 256, 3), 128, np.uint8)
    for name in (
        "grass1/GroundGrassGreen002_COL_1K.jpg", "grass1/GroundGrassGreen002_NRM_1K.jpg",
        "grass2/grass_path_2_rough_1k.png", "rock/brown_mud_leaves_01_diff_1k.png",
        "rock/brown_mud_leaves_01_nor_gl_1k.png", "rock/brown_mud_leaves_01_rough_1k.png", "asphalt/diff_2k.png",
        "asphalt/normal_2k.png", "asphalt/rough_2k.png", "sidewalk/color.png", "sidewalk/normal.png",
    ):  # fmt: skip
        path = folder / "assets/textures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), grey)
    (folder / "assets/textures/terrain").mkdir()
    cv2.imwrite(str(folder / "assets/textures/terrain/heightfield.png"), np.full((2048, 2048), 3000, np.uint16))
    shaders = Path(AssetLoader.file_path("../shaders", unix_style=False)).resolve()
    (folder / "shaders").symlink_to(shaders)
    speck = model(car(0.02, 0.02, 0.02))
    for kind in (vehicle_type.DefaultVehicle, *(getattr(vehicle_type, f"{n}Vehicle") for n in ("S", "M", "L", "XL"))):
        place = folder / "assets/models" / kind.__name__
        place.mkdir(parents=True)
        size = (kind.DEFAULT_LENGTH, kind.DEFAULT_WIDTH, kind.DEFAULT_HEIGHT)
        (place / "vehicle.gltf").write_text(model(car(*size)))
        for tire in ("right_tire_front.gltf", "right_tire_back.gltf"):
            (place / tire).write_text(speck)
        kind.path = (f"{kind.__name__}/vehicle.gltf", (1, 1, 1), (0, 0, 0), (0, 0, 0))
    AssetLoader.asset_path = folder / "assets"


def judge_env() -> Any:
    """Return MetaDrive with its renderer and its semantic camera in the place of ours without."""
    loadPrcFileData("", "load-display p3headlessgl")
    loadPrcFileData("", "notify-level-egldisplay fatal")
    loadPrcFileData("", "stm-max-chunk-count 16384")
    BaseEngine.try_pull_asset = staticmethod(lambda: None)
    TerrainProperty.get_semantic_map_pixel_per_meter = staticmethod(lambda: PX_PER_M)
    # Software OpenGL has no sixteen samples a pixel, and classes need one.
    semantic_camera.FrameBufferProperties = _OneSample
    shaded = engine_core.init
    engine_core.init = lambda **options: shaded(**{**options, "msaa_samples": 0})
    plain = engine.the_env.__wrapped__
    configured = engine._Env.__init__

    def with_camera(self: Any, config: dict[str, Any]) -> None:
        camera = {"judge": (SemanticCamera, WIDTH, HEIGHT)}
        still = {"show_skybox": False, "preload_models": False, "show_interface": False, "multi_thread_render": False}
        vehicle = {**config["vehicle_config"], "show_navi_mark": False, "image_source": "judge"}
        more = {"image_observation": True, "agent_observation": DummyObservation, "sensors": camera, **still}
        configured(self, {**config, **more, "vehicle_config": vehicle})

    engine._Env.__init__ = with_camera
    env = plain()
    engine.the_env = lambda: env
    env.engine.win.setActive(False)
    return env


def theirs(env: Any, pose: tuple[float, float, float], camera: Any) -> np.ndarray:
    """Return MetaDrive's classes as a camera of ours would see them."""
    sensor = env.engine.get_sensor("judge")
    c, s = math.cos(pose[2]), math.sin(pose[2])
    node = sensor.cam
    node.reparentTo(env.engine.render)
    node.setPos(pose[0] + c * camera.x_m - s * camera.y_m, pose[1] + s * camera.x_m + c * camera.y_m, camera.z_m)
    node.setHpr(math.degrees(pose[2] + camera.yaw_rad) - 90, -math.degrees(camera.pitch_rad), 0)
    sensor.lens.setFilmSize(WIDTH, HEIGHT)
    sensor.lens.setFocalLength(camera.focal_px)
    sensor.lens.setNearFar(0.3, 2000)
    # Twice: terrain chooses its detail from the frame before.
    env.engine.taskMgr.step()
    env.engine.taskMgr.step()
    return sensor.get_rgb_array_cpu()[..., ::-1]


def masks(picture: np.ndarray, classes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return for each name where the picture is nearest to its colour."""
    far = np.stack([((picture.astype(int) - colour) ** 2).sum(axis=-1) for colour in classes.values()])
    best = far.argmin(axis=0)
    return {name: best == k for k, name in enumerate(classes)}


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stand_ins(Path(folder))
        env = judge_env()
        cameras = rig(3, width=WIDTH, height=HEIGHT)
        ours = Renderer(cameras)
        ours.wear(CLEAR)
        their_classes = {
            name: getattr(Semantics, name).color
            for name in ("CAR", "TRUCK", "TERRAIN", "ROAD", "SIDEWALK", "SKY", "LANE_LINE", "UNLABELED")
        }
        our_classes = {"grass": (0, 255, 0), "road": (255, 0, 0), "yellow": (232, 182, 44), "walk": (150, 146, 138)}
        print("| scenario | moments | road | vehicles |\n|---|---:|---:|---:|")
        for scenario in SCENARIOS:
            world = MetaDriveWorld(scenario, cameras=cameras, traffic=0.2)
            sums = np.zeros((2, 2))
            moments = 0
            for seed in SEEDS:
                world.reset(seed)
                env.agent.origin.hide()
                roads = roads_of(world._map)
                ours.build(ground_mesh(roads.lanes, roads.walks, roads.stripes, CLEAR))
                while not world.status().ended and world.status().time_s <= max(MOMENTS_S):
                    if any(abs(world.status().time_s - moment) < 1e-6 for moment in MOMENTS_S):
                        moments += 1
                        pose = world._pose()
                        empty, full = ours.render(*pose, []), ours.render(*pose, world.bodies())
                        for k, camera in enumerate(cameras):
                            seen = masks(theirs(env, pose, camera), their_classes)
                            horizon = math.ceil(HEIGHT / 2 - camera.focal_px * math.tan(camera.pitch_rad)) + 8
                            vehicle = np.abs(full[k].astype(int) - empty[k]).max(axis=2) > 4
                            flat = masks(empty[k], our_classes)
                            road = (flat["road"] | flat["yellow"]) & ~vehicle
                            their_road = seen["ROAD"] | seen["LANE_LINE"]
                            pairs = ((road, their_road), (vehicle, seen["CAR"] | seen["TRUCK"]))
                            for row, (a, b) in enumerate(pairs):
                                sums[row] += (a & b)[horizon:].sum(), (a | b)[horizon:].sum()
                            last = (road, their_road, *pairs[1])
                    control = expert_control(world.truth(), world.speed_m_s, world.vehicle)
                    for _ in range(5):
                        world.step(control)
            shares = sums[:, 0] / np.maximum(sums[:, 1], 1)
            print(f"| {scenario} | {moments} | {shares[0]:.3f} | {shares[1]:.3f} |", flush=True)
        if given.picture is not None:
            stacked = [np.repeat(mask[..., None], 3, axis=2) * 255 for mask in last]
            differs = np.stack([last[0] ^ last[1], last[2] ^ last[3], last[2] & last[3]], axis=2) * 255
            cv2.imwrite(str(given.picture), np.concatenate([*stacked, differs], axis=0).astype(np.uint8))


if __name__ == "__main__":
    main()
