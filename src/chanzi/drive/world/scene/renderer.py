"""A scene and the cameras that look at it, on Panda3D: off screen, and only when a picture is asked for."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d import core as p3d

from chanzi.drive.camera import Camera
from chanzi.drive.world.look import Look
from chanzi.drive.world.scene import shaders
from chanzi.drive.world.scene.body import Body
from chanzi.drive.world.scene.mesh import Mesh
from chanzi.drive.world.scene.shapes import car, shadow
from chanzi.drive.world.sky import HIGHEST_RAD, LOWEST_RAD, panorama
from chanzi.errors import DriveError

Picture = npt.NDArray[np.uint8]

SAMPLES = 4
_NEAR_M, _FAR_M = 0.3, 2600.0
_SKY_M = 2000.0
_GRAIN_PX = 256
_SORT_SKY, _SORT_GROUND, _SORT_SHADOW, _SORT_SOLID = range(4)

_HINT = "a software OpenGL is enough; on Debian: apt-get install libegl1 libgl1-mesa-dri"


class Renderer:
    """Renders one scene for one rig.

    Parameters
    ----------
    cameras : sequence of Camera
        All with pictures of one size.

    Raises
    ------
    DriveError
        There is no OpenGL to render with, or the cameras differ in size.
    """

    def __init__(self, cameras: Sequence[Camera]) -> None:
        sizes = {(camera.width, camera.height) for camera in cameras}
        if len(sizes) != 1:
            raise DriveError("cameras that are rendered together need pictures of one size")
        self._width, self._height = sizes.pop()
        self._cameras = tuple(cameras)
        self._columns = math.ceil(math.sqrt(len(cameras)))
        self._rows = math.ceil(len(cameras) / self._columns)
        self._engine = p3d.GraphicsEngine.getGlobalPtr()
        self._root = p3d.NodePath("scene")
        self._rig = self._root.attachNewNode("rig")
        self._bodies = self._root.attachNewNode("bodies")
        self._map = self._root.attachNewNode("map")
        self._pool: dict[tuple[float, float, float], list[Any]] = {}
        self._buffer, self._texture = self._output()
        for index, camera in enumerate(cameras):
            self._mount(index, camera)
        self._mount_last()
        self._root.setShader(p3d.Shader.make(p3d.Shader.SLGLSL, shaders.LIT_VERTEX, shaders.LIT_FRAGMENT))
        self._root.setAntialias(p3d.AntialiasAttrib.MMultisample)
        self._root.setShaderInput("grain", _grain_texture())
        self._root.setShaderInput("paint", p3d.Vec3(1, 1, 1))
        self._shadow_shader = p3d.Shader.make(p3d.Shader.SLGLSL, shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT)
        self._sky = self._sky_dome()
        self.wear(Look())

    def _output(self) -> tuple[Any, Any]:
        # Without a display its first attempt fails, as it should, and it would say so, at the end once more.
        p3d.loadPrcFileData("", "notify-level-egldisplay fatal")
        pipe = p3d.GraphicsPipeSelection.getGlobalPtr().makePipe("eglGraphicsPipe", "p3headlessgl")
        if pipe is None:
            raise DriveError("there is no OpenGL without a display here", hint=_HINT)
        kind = p3d.FrameBufferProperties()
        kind.setRgbaBits(8, 8, 8, 0)
        kind.setDepthBits(24)
        kind.setMultisamples(SAMPLES)
        size = p3d.WindowProperties.size(self._width * self._columns, self._height * self._rows)
        flags = p3d.GraphicsPipe.BFRefuseWindow
        plain, one = p3d.FrameBufferProperties(), p3d.WindowProperties.size(1, 1)
        plain.setRgbaBits(8, 8, 8, 0)
        self._host = self._engine.makeOutput(pipe, "host", 0, plain, one, flags)
        if self._host is None:
            raise DriveError("there is no OpenGL without a display here", hint=_HINT)
        self._host.setActive(False)
        # A framebuffer object beside the first output: only that resolves several samples a pixel.
        buffer = self._engine.makeOutput(pipe, "rig", 1, kind, size, flags, self._host.getGsg(), self._host)
        if buffer is None:
            raise DriveError("OpenGL has no buffer for these pictures", hint=_HINT)
        texture = p3d.Texture("pictures")
        buffer.addRenderTexture(texture, p3d.GraphicsOutput.RTMCopyRam)
        buffer.setClearColorActive(False)
        buffer.setClearDepthActive(True)
        buffer.setActive(False)
        return buffer, texture

    def _mount(self, index: int, camera: Camera) -> None:
        lens = p3d.PerspectiveLens()
        lens.setFilmSize(camera.width, camera.height)
        lens.setFocalLength(camera.focal_px)
        lens.setNearFar(_NEAR_M, _FAR_M)
        node = self._rig.attachNewNode(p3d.Camera(camera.name, lens))
        node.setPos(camera.x_m, camera.y_m, camera.z_m)
        # Panda3D's cameras look along y, and its pitch looks up.
        node.setHpr(math.degrees(camera.yaw_rad) - 90, -math.degrees(camera.pitch_rad), 0)
        row, column = divmod(index, self._columns)
        left, bottom = column / self._columns, 1 - (row + 1) / self._rows
        region = self._buffer.makeDisplayRegion(left, left + 1 / self._columns, bottom, bottom + 1 / self._rows)
        region.setCamera(node)

    def _mount_last(self) -> None:
        """Add a region that covers all and shows nothing.

        Samples are resolved at the end of a frame, and OpenGL does so only inside the last region's scissors.
        """
        nothing = p3d.NodePath("nothing")
        region = self._buffer.makeDisplayRegion()
        region.setSort(1)
        region.setCamera(nothing.attachNewNode(p3d.Camera("last")))
        self._nothing = nothing

    def _sky_dome(self) -> Any:
        rises = np.concatenate([np.linspace(LOWEST_RAD, HIGHEST_RAD, 12), [math.pi / 2]])
        around = np.linspace(0, 2 * math.pi, 25)
        rise, angle = np.meshgrid(rises, around, indexing="ij")
        flat = np.cos(rise)
        vertices = np.stack([flat * np.cos(angle), flat * np.sin(angle), np.sin(rise)], axis=-1) * _SKY_M
        share = np.clip((rise - LOWEST_RAD) / (HIGHEST_RAD - LOWEST_RAD), 0.002, 0.998)
        at = np.stack([angle / (2 * math.pi), share], axis=-1)
        rows, columns = rise.shape
        first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
        triangles = (first + np.array([[0, columns, columns + 1, 0, columns + 1, 1]])).reshape(-1, 3)
        dome = self._rig.attachNewNode(_geom_node(vertices, at=at, triangles=triangles))
        # It stays where the compass points.
        dome.setCompass(self._root)
        dome.setShader(p3d.Shader.make(p3d.Shader.SLGLSL, shaders.SKY_VERTEX, shaders.SKY_FRAGMENT))
        _flat(dome, _SORT_SKY)
        dome.setTwoSided(True)
        return dome

    def wear(self, look: Look) -> None:
        """Take on the light, the air and the sky of a look."""
        self._look = look
        root = self._root
        root.setShaderInput("sun_way", p3d.Vec3(*(float(v) for v in look.sun_direction())))
        root.setShaderInput("light", p3d.Vec2(look.ambient, look.sun))
        root.setShaderInput("air", p3d.Vec3(*(c / 255 for c in look.sky_low)))
        root.setShaderInput("haze_m", look.haze_m)
        root.setShaderInput("lamps", look.lamps)
        root.setShaderInput("shadow", look.shadow)
        self._sky.setShaderInput("panorama", _texture(panorama(look)[::-1]))

    def build(self, ground: Mesh, standing: Sequence[Mesh] = ()) -> None:
        """Take on a map.

        Parameters
        ----------
        ground : Mesh
            Flat, painted in the order of its triangles.
        standing : sequence of Mesh
            What stands beside the roads, what stands together in one: what a camera has not in view costs nothing.
        """
        self._map.removeNode()
        self._map = self._root.attachNewNode("map")
        _flat(self._map.attachNewNode(_mesh_node(ground)), _SORT_GROUND)
        for mesh in standing:
            self._map.attachNewNode(_mesh_node(mesh)).setBin("fixed", _SORT_SOLID)

    def render(self, x_m: float, y_m: float, heading_rad: float, bodies: Sequence[Body]) -> tuple[Picture, ...]:
        """Return what the rig's cameras see from a pose, uint8 (height, width, 3) each."""
        self._rig.setPos(x_m, y_m, 0)
        self._rig.setH(math.degrees(heading_rad))
        self._root.setShaderInput("eye", p3d.Vec3(x_m, y_m, 1.2))
        c, s = math.cos(heading_rad), math.sin(heading_rad)
        self._root.setShaderInput("headlamps", p3d.Vec4(x_m + 2 * c, y_m + 2 * s, c, s))
        self._place(bodies)
        self._buffer.setActive(True)
        try:
            self._engine.renderFrame()
        finally:
            self._buffer.setActive(False)
        if not self._texture.hasRamImage():
            raise DriveError("OpenGL gave no picture", hint=_HINT)
        data = np.frombuffer(self._texture.getRamImageAs("RGB"), np.uint8)
        whole = data.reshape(self._texture.getYSize(), self._texture.getXSize(), 3)[::-1]
        height, width = self._height, self._width
        pictures = []
        for index in range(len(self._cameras)):
            row, column = divmod(index, self._columns)
            part = whole[row * height : (row + 1) * height, column * width : (column + 1) * width]
            pictures.append(np.ascontiguousarray(part))
        return tuple(pictures)

    def _place(self, bodies: Sequence[Body]) -> None:
        """Move the vehicles to their places; one that is not needed is hidden and kept."""
        used: dict[tuple[float, float, float], int] = {}
        for body in bodies:
            size = (body.length_m, body.width_m, body.height_m)
            pool = self._pool.setdefault(size, [])
            count = used.get(size, 0)
            if count == len(pool):
                pool.append(self._new_body(size))
            node = pool[count]
            used[size] = count + 1
            node.setPos(body.x_m, body.y_m, 0)
            node.setH(math.degrees(body.heading_rad))
            node.setShaderInput("paint", p3d.Vec3(*(c / 255 for c in body.paint)))
            node.show()
        for size, pool in self._pool.items():
            for node in pool[used.get(size, 0) :]:
                node.hide()

    def _new_body(self, size: tuple[float, float, float]) -> Any:
        node = self._bodies.attachNewNode("body")
        solid = node.attachNewNode(_mesh_node(car(*size)))
        solid.setBin("fixed", _SORT_SOLID)
        dark = node.attachNewNode(_mesh_node(shadow(*size[:2])))
        dark.setShader(self._shadow_shader)
        dark.setTransparency(p3d.TransparencyAttrib.MAlpha)
        _flat(dark, _SORT_SHADOW)
        return node

    def close(self) -> None:
        """Give back the buffer and the scene."""
        self._engine.removeWindow(self._buffer)
        self._root.removeNode()


def _flat(node: Any, sort: int) -> None:
    """Draw a node in a fixed turn, without depth: what lies flat has none, and would flicker."""
    node.setBin("fixed", sort)
    node.setDepthTest(False)
    node.setDepthWrite(False)


def _mesh_node(mesh: Mesh) -> Any:
    return _geom_node(mesh.vertices_m, normals=mesh.normals, colours=mesh.colours, triangles=mesh.triangles)


def _geom_node(
    vertices: npt.NDArray[Any],
    *,
    triangles: npt.NDArray[Any],
    normals: npt.NDArray[Any] | None = None,
    colours: npt.NDArray[Any] | None = None,
    at: npt.NDArray[Any] | None = None,
) -> Any:
    """Return a node with one Geom of the given arrays."""
    array = p3d.GeomVertexArrayFormat()
    columns = [(p3d.InternalName.getVertex(), vertices.reshape(-1, 3), p3d.Geom.CPoint)]
    if normals is not None:
        columns.append((p3d.InternalName.getNormal(), normals, p3d.Geom.CNormal))
    if colours is not None:
        columns.append((p3d.InternalName.getColor(), colours, p3d.Geom.COther))
    if at is not None:
        columns.append((p3d.InternalName.getTexcoord(), at.reshape(-1, 2), p3d.Geom.CTexcoord))
    for name, values, contents in columns:
        array.addColumn(name, values.shape[1], p3d.Geom.NTFloat32, contents)
    kind = p3d.GeomVertexFormat(array)
    kind = p3d.GeomVertexFormat.registerFormat(kind)
    data = p3d.GeomVertexData("mesh", kind, p3d.Geom.UHStatic)
    rows = np.ascontiguousarray(np.concatenate([values for _, values, _ in columns], axis=1), np.float32)
    data.uncleanSetNumRows(len(rows))
    data.modifyArrayHandle(0).copyDataFrom(rows.tobytes())
    primitive = p3d.GeomTriangles(p3d.Geom.UHStatic)
    primitive.setIndexType(p3d.Geom.NTUint32)
    indices = np.ascontiguousarray(triangles, np.uint32).reshape(-1)
    primitive.modifyVertices().uncleanSetNumRows(len(indices))
    primitive.modifyVertices().modifyHandle().copyDataFrom(indices.tobytes())
    geom = p3d.Geom(data)
    geom.addPrimitive(primitive)
    node = p3d.GeomNode("mesh")
    node.addGeom(geom)
    return node


def _texture(picture: npt.NDArray[np.uint8]) -> Any:
    """Return a texture of a picture whose row 0 is at the bottom, repeated sideways."""
    texture = p3d.Texture()
    height, width = picture.shape[:2]
    texture.setup2dTexture(width, height, p3d.Texture.TUnsignedByte, p3d.Texture.FRgb)
    texture.setRamImage(np.ascontiguousarray(picture[..., ::-1]).tobytes())
    texture.setWrapU(p3d.SamplerState.WMRepeat)
    texture.setWrapV(p3d.SamplerState.WMClamp)
    texture.setMinfilter(p3d.SamplerState.FTLinear)
    texture.setMagfilter(p3d.SamplerState.FTLinear)
    return texture


def _grain_texture() -> Any:
    """Return a square of noise without seams, 0 to 255 round 128, with smaller sizes of itself for what is far."""
    rng = np.random.default_rng(3)
    total = np.zeros((_GRAIN_PX, _GRAIN_PX))
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(_GRAIN_PX) * _GRAIN_PX,) * 2))
    spectrum = np.fft.fft2(rng.standard_normal((_GRAIN_PX, _GRAIN_PX)))
    total = np.real(np.fft.ifft2(spectrum / np.maximum(frequency, 2.0) ** 0.7))
    noise = np.clip(128 + total / total.std() * 40, 0, 255).astype(np.uint8)
    texture = p3d.Texture()
    texture.setup2dTexture(_GRAIN_PX, _GRAIN_PX, p3d.Texture.TUnsignedByte, p3d.Texture.FLuminance)
    texture.setRamImage(noise.tobytes())
    texture.setWrapU(p3d.SamplerState.WMRepeat)
    texture.setWrapV(p3d.SamplerState.WMRepeat)
    texture.setMinfilter(p3d.SamplerState.FTLinearMipmapLinear)
    texture.setMagfilter(p3d.SamplerState.FTLinear)
    return texture
