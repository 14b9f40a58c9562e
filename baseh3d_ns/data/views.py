"""Views of a head as every dataparser here hands them over: pictures, cameras in the unit frame, metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.pictures import read_photo, read_trimap
from baseh3d_ns.frames import PIXEL_CENTRE, SceneFrame

METADATA = (
    "frame",
    "camera_centres",
    "camera_axes",
    "pictures",
    "scene_id",
    "view_indices",
    "provenance",
)
"""Metadata that a dataparser hands over beside nerfstudio's own outputs: `SceneFrame`; centres and optical axes of the
cameras in the unit frame, [views, 3] each; a `PictureSource` for each view; scene; numbers of the views; what else the
head file records of the data. A dataparser whose world is upright (+y up, +z ahead) may add `ears`, the middle between
the ears in the unit frame, [3]; one whose masks were guessed by networks adds `guessed_masks`, True."""
FEWEST_PX = 16
"""Width or height in pixels below which a photo shows no head."""
LEAST_SKEW_PX = 1e-3
"""Skew that moves no pixel by more than this is the decomposition's rounding, not the camera's."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo with its silhouette."""

    photo: UInt8[np.ndarray, "h w 3"]
    """RGB."""
    mask: Bool[np.ndarray, "h w"]
    """True on the head."""
    known: Bool[np.ndarray, "h w"]
    """False where the pixel says nothing: neither colour nor silhouette may be concluded from it."""

    def read(self) -> Picture:
        """The picture itself: one held in memory is its own `PictureSource`."""
        return self


@runtime_checkable
class PictureSource(Protocol):
    """Origin of a view's picture."""

    def read(self) -> Picture:
        """The picture at its own size, which may be larger than its camera's."""


@dataclass(frozen=True)
class PictureFiles:
    """A photo and its mask as files."""

    image_path: Path
    mask_path: Path

    def read(self) -> Picture:
        """Photo and mask as `pictures` reads them."""
        trimap = read_trimap(self.mask_path)
        return Picture(read_photo(self.image_path), trimap.mask, trimap.known)


def view_outputs(
    cameras: Cameras,
    frame: SceneFrame,
    scene_id: str,
    indices: Sequence[int],
    image_paths: Sequence[Path],
    pictures: Sequence[PictureSource],
    to_unit: tuple[Tensor, float],
    provenance: dict[str, Any],
    ears: Float[np.ndarray, " 3"] | None = None,
) -> DataparserOutputs:
    """Outputs of a dataparser for the views of a split.

    Args:
        cameras: their cameras, in the unit frame.
        frame: unit frame.
        scene_id: name of the scene.
        indices: numbers of the views in their scene.
        image_paths: files of their photos, for messages and names.
        pictures: their pictures.
        to_unit: nerfstudio's `dataparser_transform` and `dataparser_scale`.
        provenance: what the head file records of the data, beside scene and views.
        ears: middle between the ears in the unit frame, of a head that stands upright and looks along +z.
    """
    transform, scale = to_unit
    return DataparserOutputs(
        image_filenames=list(image_paths),
        cameras=cameras,
        scene_box=SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])),
        dataparser_transform=transform,
        dataparser_scale=scale,
        # No `mask_filenames`: those would keep every ray inside the silhouette.
        metadata={
            "frame": frame,
            "camera_centres": cameras.camera_to_worlds[:, :, 3],
            "camera_axes": -normalize(cameras.camera_to_worlds[:, :, 2], dim=-1),
            "scene_id": scene_id,
            "view_indices": list(indices),
            "pictures": tuple(pictures),
            "provenance": provenance,
            "ears": ears,
        },
    )


def nerfstudio_cameras(cameras: list[Pinhole], frame: SceneFrame, downscale: float = 1.0) -> Cameras:
    """Pinhole cameras as nerfstudio's: unit frame, OpenGL axes, pixel centres at +0.5.

    nerfstudio has no skew; a skewed K sheares camera rays along x, K^-1 = shear @ K_without_skew^-1, so the shear is
    folded into the camera-to-world matrix, which makes every ray exact.
    """
    c2w, sizes, focal, centre = [], [], [], []
    for camera in cameras:
        (fx, skew, cx), (_, fy, cy) = camera.intrinsics[0], camera.intrinsics[1]
        pose = frame.c2w_opengl(camera.rotation, camera.translation_mm)
        if abs(skew) * camera.height / fy > LEAST_SKEW_PX:
            shear = np.eye(3)
            # OpenGL's y is minus OpenCV's.
            shear[0, 1] = skew / fx
            pose = np.concatenate([pose[:, :3] @ shear, pose[:, 3:]], axis=1)
        width, height = scaled_size(camera, downscale)
        sx, sy = width / camera.width, height / camera.height
        c2w.append(pose)
        sizes.append((width, height))
        focal.append((fx * sx, fy * sy))
        centre.append(((cx + PIXEL_CENTRE) * sx, (cy + PIXEL_CENTRE) * sy))
    return Cameras(
        camera_to_worlds=torch.tensor(np.stack(c2w), dtype=torch.float32),
        fx=torch.tensor([[f[0]] for f in focal], dtype=torch.float32),
        fy=torch.tensor([[f[1]] for f in focal], dtype=torch.float32),
        cx=torch.tensor([[c[0]] for c in centre], dtype=torch.float32),
        cy=torch.tensor([[c[1]] for c in centre], dtype=torch.float32),
        width=torch.tensor([[s[0]] for s in sizes]),
        height=torch.tensor([[s[1]] for s in sizes]),
        camera_type=CameraType.PERSPECTIVE,
    )


def scaled_size(camera: Pinhole, downscale: float) -> tuple[int, int]:
    """Width and height in pixels after downscaling, at least 1."""
    return max(1, round(camera.width / downscale)), max(1, round(camera.height / downscale))


def world_to_camera_axes(c2w: Float[Tensor, "*n 3 4"]) -> Float[Tensor, "*n 3 3"]:
    """Matrices that offsets from a camera's centre, as rows, are multiplied by to be in its axes (OpenCV's).

    Args:
        c2w: nerfstudio's camera-to-world matrices. They look along -z, with +y up; a skew is among their axes, which
            then are not at right angles.
    """
    return torch.linalg.inv(c2w[..., :3] * c2w.new_tensor([1.0, -1.0, -1.0])).transpose(-1, -2)
