"""The photos of a head, opened again by what its file says of them: those it was trained on, and those it never saw."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParser, H3dsDataParserConfig
from baseh3d_ns.errors import InputError, named_permissions
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.own_photos.dataparser import HeadDataParser, HeadDataParserConfig
from baseh3d_ns.own_photos.head_block import read_head_block
from baseh3d_ns.own_photos.scene import OwnScene, open_own_photos

SIDE_PX = 256
"""Longest side in pixels of the photos that a head is scored by: larger ones are made smaller."""
SAME_FRAME = 1e-2
"""Difference in millimetres between two frames that are one, as they are written to files."""
SAME_CAMERA_MM = 0.1
"""Distance in millimetres between the places of a camera that is the same, in single precision."""


@dataclass
class PhotosAgainConfig(HeadDataParserConfig):
    """Own photos in the frame that a head was trained in."""

    recorded: str = ""
    """JSON of the block `head` of that frame."""

    def opened(self) -> OwnScene:
        """The head of the photos, whose frame is not looked for again."""
        return open_own_photos(Path(self.data), self.scale, self.neck_mm, self.longest_side_px, self.recorded)


@dataclass(frozen=True)
class HeadPhotos:
    """Photos of a head, as large as they were asked for."""

    training: HeadDataset
    held_out: HeadDataset | None
    """None where the head was trained on all photos."""


@named_permissions()
def photos_of_head(opened: OpenedHead, side_px: int = SIDE_PX) -> HeadPhotos:
    """Photos, silhouettes and cameras of a head.

    Args:
        opened: the head.
        side_px: longest side in pixels; larger photos are made smaller.

    Raises:
        InputError: the file does not say which photos it was trained on, one of these is gone or damaged, or they are
            of another head.
    """
    where, views = opened.data, opened.head.provenance.get("views")
    if not isinstance(views, list) or not views:
        raise InputError(
            f"{opened.file} does not record its training views, so that held-out photos cannot be told from them: pass "
            "the head.safetensors of the run"
        )
    if where is None:
        raise InputError(f"{opened.file} does not record its photos: pass --data (and --scene, in the H3DS layout)")
    parser = _parser(opened, where, views, side_px)
    training, others = (parser.get_dataparser_outputs(split) for split in ("train", "val"))
    check_same_frame(opened, training.metadata["frame"], f"the photos in {where}")
    if isinstance(parser, HeadDataParser):
        _check_same_cameras(opened, training.metadata["camera_centres"], where)
    seen = set(training.metadata["view_indices"])
    held_out = None if seen & set(others.metadata["view_indices"]) else _reduced(others, side_px)
    return HeadPhotos(_reduced(training, side_px), held_out)


def _parser(opened: OpenedHead, where: Path, views: list[int], side_px: int) -> H3dsDataParser | HeadDataParser:
    """Dataparser that the head was trained with, set to its training views: by their names where the file has them."""
    known = opened.head.provenance
    names = known.get("photos", ()) if known.get("dataparser") == "head-data" else ()
    # Own photos may have been added or taken out since, which gives the others new numbers.
    by_name = isinstance(names, list) and len(names) == len(views)
    chosen = ("all",) if by_name else tuple(f"{view}," for view in views)
    parser = _parser_config(opened, where, chosen, side_px).setup()
    if by_name and isinstance(parser, HeadDataParser):
        numbers = {view.shot.name: number for number, view in enumerate(parser.scene.views)}
        gone = [name for name in names if name not in numbers]
        if gone:
            raise InputError(
                f"{opened.file} was trained on the photo {gone[0]}, which is gone from {where}: put it back, or fit "
                "the head again"
            )
        parser.train_views = [numbers[name] for name in names]
    return parser


def _parser_config(
    opened: OpenedHead, where: Path, views: tuple[str, ...], side_px: int
) -> H3dsDataParserConfig | HeadDataParserConfig:
    """Dataparser that the head was trained with, with its training views, at least as large as asked for."""
    known = opened.head.provenance
    if known.get("dataparser") == "head-data":
        frame = read_head_block(opened.file, known.get("head"))
        if frame.mm_per_unit is None or frame.ball is None or not frame.cut_decided:
            raise InputError(f"{opened.file} does not record how its photos were read: fit the head again")
        config = PhotosAgainConfig(data=where, views=views, recorded=json.dumps(known["head"]))
        return replace(config, longest_side_px=max(config.longest_side_px, side_px))
    root, scene = opened.scene_named()
    return H3dsDataParserConfig(data=root, scene=scene, views=views)


def check_same_frame(opened: OpenedHead, found: SceneFrame, data: str) -> None:
    """Raise `InputError` where a head has no frame in millimetres, or data have another.

    Args:
        found: frame of the data.
        data: the data in words, for the message.
    """
    frame = opened.head.frame
    if frame is None:
        raise InputError(
            f"{opened.file} does not record its frame in millimetres, so it cannot be scored: fit a head from it"
        )
    there, trained_in = (np.array([*one.centre_mm, one.radius_mm]) for one in (found, frame))
    if not np.allclose(there, trained_in, atol=SAME_FRAME):
        raise InputError(f"{opened.file} was not trained on {data}: their frames differ")


def _check_same_cameras(opened: OpenedHead, centres: Float[Tensor, "views 3"], where: Path) -> None:
    """Raise `InputError` where the photos have other cameras now than those that a head was trained with.

    Args:
        centres: camera centres in the unit frame.
    """
    trained_with, frame = opened.head.camera_centres, opened.head.frame
    if trained_with is None or frame is None:
        return
    apart = trained_with.cpu() - centres if trained_with.shape == centres.shape else torch.tensor(torch.inf)
    if apart.abs().max() * frame.radius_mm > SAME_CAMERA_MM:
        raise InputError(
            f"{opened.file} was trained with other cameras than the photos in {where} have now: pass those with "
            "--data, or fit the head again"
        )


def _reduced(photos: DataparserOutputs, side_px: int) -> HeadDataset:
    longest = torch.maximum(photos.cameras.width, photos.cameras.height)
    return HeadDataset(photos, (side_px / longest).clamp(max=1.0))
