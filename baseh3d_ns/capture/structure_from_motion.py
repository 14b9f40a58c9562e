"""Structure from motion with COLMAP: cameras of many photos that overlap (Schoenberger and Frahm 2016).

1. SIFT features of every photo, inside its dilated mask where the background moves. Of few photos, which stand far
   apart, also faint ones, in affine frames (Mikolajczyk and Schmid 2004) and pooled over scales (DSP-SIFT, Dong and
   Soatto 2015). Of more photos these take long, and are looked for where a reconstruction without them holds too few.
2. Matches of all pairs, or of neighbours by name for frames of a video and for very many photos, verified by epipolar
   geometry. Where a reconstruction by neighbours holds too few photos, their names did not follow the way: all pairs.
3. Incremental mapping, without distortion; photos of one lens share intrinsics, seeded by EXIF. Few photos are mapped
   several times, each time with other focal lengths that stay; one reconstruction is kept (`_map_best`).
4. Bundle adjustment of everything together, with distortion (`bundle_adjustment`).
5. The same with a lens for every photo whose lens nothing tells, where that explains more (`own_lenses`); frames of a
   video keep one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.bundle_adjustment import adjusted
from baseh3d_ns.capture.own_lenses import with_own_lenses
from baseh3d_ns.capture.photos import Photo, resized
from baseh3d_ns.capture.reprojections import FEW_AGREEING, agreeing, errors_px, odd_photos
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.extras import require_extra
from baseh3d_ns.files import temporary_folder
from baseh3d_ns.frames import PIXEL_CENTRE

SEED = 0
"""Seed of COLMAP's random samples: the same photos give the same cameras."""
FEATURES = 4096
"""Most SIFT features of a photo: the time of matching grows with its square."""
MOST_FOR_ALL_PAIRS, MOST_LATER = 80, 160
"""Numbers of photos up to which every pair is matched at once, or where neighbours do not do: the
time grows with the square."""
NEIGHBOURS = 12
"""Frames before and after that a video's frame is matched with; twice as far ones, four times ... come in addition."""
MASK_MARGIN = 0.02
"""Width by which masks are dilated before features are kept inside them, as a share of the photo's longer side."""
FEWEST_PHOTOS = 3
"""Photos that a reconstruction must hold."""
MOST_REGISTERED = 0.7
"""Share of the photos that is registered where all is well."""
CALIBRATION, FEW_CALIBRATION = "RADIAL", "SIMPLE_RADIAL"
"""COLMAP's camera models, of many photos (f, cx, cy, k1, k2) and of few (f, cx, cy, k1). Tangential distortion, as in
OPENCV, cannot be told from another principal point and a camera that looks elsewhere."""
FEW = 24
"""Photos up to which they count as few: round a head, neighbours are then 15 degrees apart or more."""
FEW_PEAK, FEW_RATIO = 0.002, 0.9
"""Least peak of a feature of few photos in the difference of Gaussians, and the largest ratio of a match's distance to
that of the next best."""
FEW_INITIAL, FEW_SHARE = 50, 0.15
"""Correspondences of the first two of few photos, and share of those that must agree on the pose of another one, beside
`FEW_AGREEING`. Matches are verified by epipolar geometry before."""
FEW_FOCALS, FEW_KNOWN_FOCALS = (0.65, 0.77, 0.9, 1.0, 1.15, 1.4, 1.7), (0.92, 0.96, 1.0, 1.04, 1.08)
"""Focal lengths with which few photos are mapped, as factors of the expected one: usual, or by EXIF of most photos."""


@dataclass(frozen=True)
class MotionConfig:
    """Settings of the structure from motion."""

    in_masks_only: bool = False
    """Whether features outside the masks are left out: for a head that turns before a background that stays."""
    ordered: bool = False
    """Whether the photos follow each other in time, as frames of a video do."""


def solve_motion(photos: Sequence[Photo], config: MotionConfig) -> list[SolvedView]:
    """Cameras of the photos in a world of arbitrary pose and unit, in the order of the photos.

    The largest reconstruction is kept; photos outside it have no camera, nor have those that do not fit it.

    Raises:
        InputError: the extra `capture` is not installed, or the disk of the temporary folder is full.
    """
    require_extra("capture")
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    few, many = len(photos) <= FEW and not config.ordered, len(photos) > MOST_FOR_ALL_PAIRS
    chosen = _reconstructed(pycolmap, photos, config, few, config.ordered or many)
    connected = 0 if chosen is None else chosen.num_reg_images()
    may_try_again = FEW < len(photos) <= MOST_LATER and not config.ordered
    if may_try_again and connected < MOST_REGISTERED * len(photos):
        how = "all pairs of photos are matched" if many else "faint features are tried"
        CONSOLE.log(f"{connected} of {len(photos)} photos are connected: {how}, which takes longer.")
        again = _reconstructed(pycolmap, photos, config, few=not many, neighbours_only=False)
        chosen = max((one for one in (chosen, again) if one is not None), key=agreeing, default=None)
    if chosen is not None and not config.ordered:
        unnamed = {_file_name(index) for index, photo in enumerate(photos) if photo.exif_focal_px is None}
        chosen = with_own_lenses(pycolmap, chosen, unnamed)
    found = {} if chosen is None else _registered(chosen)
    odd = {} if chosen is None else odd_photos(chosen)
    files = [_file_name(index) for index in range(len(photos))]
    return [
        SolvedView(photo.name, None, odd=True) if file in odd else _view(photo, found.get(file))
        for file, photo in zip(files, photos, strict=True)
    ]


def _reconstructed(
    pycolmap: Any, photos: Sequence[Photo], config: MotionConfig, few: bool, neighbours_only: bool
) -> Any:
    """The best reconstruction, as of few photos or of many; None where there is none."""
    with temporary_folder() as place:
        _extract(pycolmap, photos, place, config.in_masks_only, few)
        _match(pycolmap, place / "database.db", neighbours_only, few)
        known = 2 * sum(photo.exif_focal_px is not None for photo in photos) > len(photos)
        factors = (FEW_KNOWN_FOCALS if known else FEW_FOCALS) if few else (1.0,)
        return _map_best(pycolmap, place, factors, few)


def _file_name(index: int) -> str:
    return f"{index:05d}.png"


def _extract(pycolmap: Any, photos: Sequence[Photo], place: Path, in_masks_only: bool, few: bool) -> None:
    """Write the photos and their features to a database; photos of one lens, held alike, share a camera."""
    with pycolmap.Database.open(place / "database.db"):  # an empty one, for `import_images`
        pass
    groups: dict[tuple[int, int, int | None], list[int]] = {}
    for index, photo in enumerate(photos):
        height, width = photo.rgb.shape[:2]
        groups.setdefault((height, width, photo.lens[2]), []).append(index)
        _save(place, index, photo, in_masks_only)
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = False
    options.sift.max_num_features = FEATURES
    if few:
        options.sift.peak_threshold = FEW_PEAK
        options.sift.estimate_affine_shape = options.sift.domain_size_pooling = True
    for (height, width, _), members in groups.items():
        focal = float(np.median([photos[i].expected_focal_px / photos[i].scale for i in members]))
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = FEW_CALIBRATION if few else CALIBRATION
        distortion = (0.0,) if few else (0.0, 0.0)
        reader.camera_params = ",".join(map(str, (focal, width / 2.0, height / 2.0, *distortion)))
        if in_masks_only:
            reader.mask_path = place / "masks"
        names, one_camera = [_file_name(index) for index in members], pycolmap.CameraMode.SINGLE
        # The extraction would number the photos in the order in which its threads are done with them.
        pycolmap.import_images(place / "database.db", place / "photos", one_camera, names, reader)
        pycolmap.extract_features(
            place / "database.db", place / "photos", names, one_camera, reader, options, pycolmap.Device.cpu
        )


def _save(place: Path, index: int, photo: Photo, in_masks_only: bool) -> None:
    for name in ("photos", "masks"):
        (place / name).mkdir(exist_ok=True)
    Image.fromarray(photo.rgb).save(place / "photos" / _file_name(index), compress_level=1)
    if in_masks_only and photo.mask is not None:
        side = 2 * round(MASK_MARGIN * max(photo.mask.shape)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        dilated = cv2.dilate(photo.mask.astype(np.uint8) * 255, kernel)
        Image.fromarray(dilated).save(place / "masks" / f"{_file_name(index)}.png")


def _match(pycolmap: Any, database: Path, neighbours_only: bool, few: bool) -> None:
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    if few:
        matching.sift.max_ratio = FEW_RATIO
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = SEED
    if neighbours_only:
        pairing = pycolmap.SequentialPairingOptions()
        pairing.overlap = NEIGHBOURS
        pycolmap.match_sequential(database, matching, pairing, verification, pycolmap.Device.cpu)
    else:
        pairing = pycolmap.ExhaustivePairingOptions()
        pycolmap.match_exhaustive(database, matching, pairing, verification, pycolmap.Device.cpu)


def _map_best(pycolmap: Any, place: Path, factors: tuple[float, ...], few: bool) -> Any:
    """The reconstruction that holds most photos, then most features, of the largest with each factor of the focal
    lengths; None where there is none."""
    with pycolmap.Database.open(place / "database.db") as database:
        cameras = database.read_all_cameras()
    expected, models = [camera.focal_length for camera in cameras], []
    for factor in factors:
        with pycolmap.Database.open(place / "database.db") as database:
            for camera, focal in zip(cameras, expected, strict=True):
                camera.focal_length = factor * focal
                database.update_camera(camera)
        model = max(_map(pycolmap, place, few), key=lambda model: model.num_reg_images(), default=None)
        if model is not None:
            models.append(adjusted(pycolmap, model))
    return max(models, key=agreeing, default=None)


def _map(pycolmap: Any, place: Path, few: bool) -> list[Any]:
    """All reconstructions, without distortion; of few photos, with the focal lengths of the database."""
    pycolmap.set_random_seed(SEED)
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = SEED
    options.min_model_size = FEWEST_PHOTOS
    options.extract_colors = False
    # A photo placed by its matches with others alone, where no points do, often stands degrees off, with small errors.
    options.structure_less_registration_fallback = False
    mapper = options.mapper
    # A distortion that the first photos seem to have keeps others from being registered; so does a focal length of few.
    options.ba_refine_extra_params = mapper.abs_pose_refine_extra_params = False
    if few:
        mapper.init_min_num_inliers, mapper.abs_pose_min_num_inliers = FEW_INITIAL, FEW_AGREEING
        mapper.abs_pose_min_inlier_ratio = FEW_SHARE
        options.ba_refine_focal_length = mapper.abs_pose_refine_focal_length = False
    with tempfile.TemporaryDirectory(dir=place) as models:
        return list(pycolmap.incremental_mapping(place / "database.db", place / "photos", models, options).values())


def _registered(model: Any) -> dict[str, Any]:
    """(camera of the small photo, distortion, median reprojection error in its pixels) by file name."""
    found = {}
    for image in model.images.values():
        errors = errors_px(model, image) if image.has_pose else np.empty(0)
        if not np.isfinite(errors).any():
            continue
        intrinsics = image.camera.calibration_matrix()
        intrinsics[:2, 2] -= PIXEL_CENTRE
        extra = image.camera.params[image.camera.extra_params_idxs()]
        distortion = np.pad(extra, (0, 4 - len(extra)))
        pose = image.cam_from_world().matrix()
        camera = Pinhole(intrinsics, pose[:, :3], pose[:, 3], image.camera.width, image.camera.height)
        found[image.name] = camera, distortion, float(np.median(errors))
    return found


def _view(photo: Photo, found: Any) -> SolvedView:
    if found is None:
        return SolvedView(photo.name, None)
    camera, distortion, error = found
    return SolvedView(photo.name, resized(camera, photo.width, photo.height), distortion, error * photo.scale)
