"""A head judged by its photos: an exact head scores as it must, and the evaluation of a scene without scan."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from own_capture import BLOCK, write_own_photos
from PIL import Image
from tiny_heads import EGG_AXES, SMALL, egg, set_to
from tiny_root import SCENE
from torch.nn.functional import normalize

from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import load_scene
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation import photo_scores as photo_scores_module
from baseh3d_ns.evaluation.camera_corrections import camera_corrections
from baseh3d_ns.evaluation.evaluate_run import evaluate_run
from baseh3d_ns.evaluation.head_photos import HeadPhotos, photos_of_head
from baseh3d_ns.evaluation.photo_scores import HeadRenderer, RenderedView, photo_scores
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.heads.head_file import HEAD_FILE, Head, save_head
from baseh3d_ns.heads.networks import field_of_head, weights_of_field
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.models.view_corrections import TYPICAL_ROTATION, TYPICAL_TRANSLATION, ViewCorrections
from baseh3d_ns.own_photos import looks
from baseh3d_ns.own_photos.dataparser import HeadDataParserConfig

CPU = torch.device("cpu")


class Egg(HeadField):
    """The head of `tiny_root`, exactly, in the colours of its photos; `size` makes it another one."""

    size = 1.0

    def sdf(self, points):
        return self.size * egg(points / self.size)

    def with_gradient(self, points, create_graph, latents=None):
        normals = normalize(points / EGG_AXES**2, dim=-1)
        return self.sdf(points), torch.zeros(len(points), 1), normals

    def colour(self, points, gradients, view_directions, features):
        return 0.5 + 0.4 * gradients


def some_head(root: Path, views: list[int], **others) -> Head:
    frame = load_scene(open_h3ds(root), SCENE).frame
    return Head(weights_of_field(SMALL.setup()), {"data": str(root), "scene": SCENE, "views": views, **others}, frame)


def judged(root: Path, size: float = 1.0, head: Head | None = None) -> tuple[HeadPhotos, list[RenderedView]]:
    head = head or some_head(root, [2, 0, 4])
    photos, field = photos_of_head(OpenedHead(head, root)), Egg(SMALL)
    field.size = size
    scores, rendered = photo_scores(HeadRenderer(head, field, photos, CPU), photos)
    return scores, rendered


def test_an_exact_head_fits_its_photos_and_a_larger_one_does_not(tiny_root: Path):
    exact, rendered = judged(tiny_root)
    assert [view.view for view in exact.views] == [1, 3, 2, 0, 4]
    assert [view.held_out for view in exact.views] == [True, True, False, False, False]
    assert exact.held_out.photos == 2 and exact.training.photos == 3
    # 48 pixels, JPEG: a silhouette's edge and a colour are off by little.
    assert exact.held_out.mask_iou > 0.96 and exact.held_out.psnr_db > 25.0 and exact.held_out.ssim > 0.9
    large, _ = judged(tiny_root, 1.15)
    assert large.held_out.mask_iou < 0.9 * exact.held_out.mask_iou and large.held_out.psnr_db < exact.held_out.psnr_db
    assert rendered[0].rgb.shape == rendered[0].photo.shape == (48, 48, 3)


def test_photo_consistency_knows_a_head_of_the_right_size(tiny_root: Path, tmp_path: Path):
    """Photos of a striped egg: patches agree on its surface, and nowhere else."""
    root = Path(shutil.copytree(tiny_root, tmp_path / "h3ds"))
    head = some_head(root, [2, 1, 3])
    photos = photos_of_head(OpenedHead(head, root))
    field = Egg(SMALL)
    renderer = HeadRenderer(head, field, photos, CPU)
    for view in range(3):
        seen = renderer.render(photos.training, view, held_out=False)
        stripes = np.full(seen.hit.shape[:2], 0.5, np.float32)
        texture = 0.5 + 0.4 * torch.sin(40.0 * seen.points).prod(-1)
        stripes[(seen.hit * seen.mask)[..., 0].numpy() > 0.5] = texture.numpy()
        path = photos.training.image_filenames[view]
        Image.fromarray((255 * stripes).astype(np.uint8)).convert("RGB").save(path, quality=98)
    exact, larger = (judged(root, size, head)[0].photo_consistency for size in (1.0, 1.12))
    assert exact.mean_ncc > 0.5 > larger.mean_ncc and exact.pairs > 20 and 0.0 < exact.seen_twice <= 1.0


def test_corrections_of_cameras_are_told_in_degrees_and_millimetres():
    axes, centres = torch.tensor([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 3.0], [3.0, 0.0, 0.0]])
    turn, shift = 4.0 * TYPICAL_ROTATION, 6.0 * TYPICAL_TRANSLATION
    pose = torch.tensor([[0.0, 6.0, 0.0, 0.0, 0.0, 4.0], [0.0, -6.0, 0.0, 0.0, 0.0, -4.0]])
    corrections = set_to(ViewCorrections(axes, centres), pose=pose)
    first, second = camera_corrections(corrections, HEAD_FRAME)
    assert first.rotation_deg == pytest.approx(np.degrees(turn), rel=1e-4) and first.focal_percent == 0.0
    assert first.centre_mm == pytest.approx(shift * HEAD_FRAME.radius_mm, rel=1e-3)  # a roll leaves the centre
    about_z = np.array([3.0 * np.cos(turn) - 3.0, -3.0 * np.sin(turn) - shift])
    assert second.centre_mm == pytest.approx(np.linalg.norm(about_z) * HEAD_FRAME.radius_mm, rel=1e-3)


def test_training_photos_are_seen_by_the_corrected_cameras(tiny_root: Path):
    views = {"pose": torch.zeros(3, 6), "focal": torch.zeros(3), "colour": torch.zeros(3, 2, 3)}
    views["pose"][0, 0] = 10.0
    head = replace(some_head(tiny_root, [2, 0, 4]), view_corrections=views)
    scores, _ = judged(tiny_root, head=head)
    plain, _ = judged(tiny_root)
    assert scores.views[2].mask_iou < plain.views[2].mask_iou - 0.05
    assert scores.held_out == plain.held_out and scores.views[0].correction is None
    assert scores.views[2].correction.centre_mm > 5.0


def without_scan(root: Path, *names: str) -> None:
    for name in names:
        path = root / SCENE / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def coarse(monkeypatch):
    """A coarse grid: the heads that are evaluated here show nothing anyway."""
    monkeypatch.setattr(photo_scores_module, "GRID_CELLS", 16)


def test_a_scene_without_scan_is_judged_by_its_photos(own_root: Path, tmp_path: Path, coarse):
    without_scan(own_root, "full_head.obj", "landmarks.txt", "regions")
    block = {"scale_source": "the face", "scale_uncertainty_percent": 6.0}
    save_head(tmp_path / HEAD_FILE, some_head(own_root, [2, 0, 4], warnings=["Up was not found."], head=block))
    lines = evaluate_run(OpenedHead.read(tmp_path), None, 1.0)
    said = "\n".join(lines)
    assert "no accuracy in millimetres" in said and "held out     : mask IoU" in said and "(2 photos)" in said
    assert "millimetres by the face, +- 6 %" in said and "note: Up was not found." in said
    content = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert "no accuracy" in content["note"] and content["held_out"]["photos"] == 2 and "rigid" not in content
    assert len(content["views"]) == 5 and content["provenance"]["packages"]["torch"]
    assert sorted(path.name for path in (tmp_path / "evaluation").iterdir()) == ["evaluation.json", "evaluation.png"]


def test_a_head_trained_on_all_photos_has_none_held_out(own_root: Path, tmp_path: Path, coarse):
    without_scan(own_root, "landmarks.txt")
    save_head(tmp_path / HEAD_FILE, some_head(own_root, [0, 1, 2, 3, 4]))
    said = "\n".join(evaluate_run(OpenedHead.read(tmp_path), None, 1.0))
    assert "held out     : no photo" in said and "landmarks.txt is missing, so there are no official scores" in said
    content = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert content["held_out"] is None and content["training"]["photos"] == 5


def test_heads_whose_photos_cannot_be_told_are_refused(own_root: Path, tmp_path: Path):
    head = some_head(own_root, [2, 0, 4])
    with pytest.raises(InputError, match="does not record its training views"):
        photos_of_head(OpenedHead(replace(head, provenance={"data": str(own_root), "scene": SCENE}), tmp_path))
    with pytest.raises(InputError, match="frames differ"):
        photos_of_head(OpenedHead(replace(head, frame=HEAD_FRAME), tmp_path))
    save_head(tmp_path / HEAD_FILE, head)
    with pytest.raises(InputError, match="--unit is the unit of a --scan"):
        evaluate_run(OpenedHead.read(tmp_path), None, 1.0, unit="cm")
    save_head(tmp_path / HEAD_FILE, replace(head, provenance={**head.provenance, "dataparser": "head-data"}))
    with pytest.raises(InputError, match="--scene mine: .* was trained on own photos, which have no scenes"):
        OpenedHead.read(tmp_path, scene="mine")


def test_own_photos_are_opened_as_they_were_trained_on(tiny_root: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(looks, "_find_landmarks", lambda photos, masks: [None] * len(photos))  # the egg has no face
    write_own_photos(tiny_root, SCENE, tmp_path, distortion=(-0.1, 0.02, 0.0, 0.0, 0.0))
    parser = HeadDataParserConfig(data=tmp_path, views=("2,0,4",), mm_per_unit=81.0, neck_mm=70.0).setup()
    metadata = parser.get_dataparser_outputs("train").metadata
    known = {**metadata["provenance"], "data": str(tmp_path), "views": metadata["view_indices"]}
    head = Head(weights_of_field(SMALL.setup()), known, metadata["frame"])
    photos = photos_of_head(OpenedHead(head, tmp_path))
    assert photos.training.metadata["view_indices"] == [2, 0, 4] and len(photos.held_out) == 2
    renderer = HeadRenderer(head, field_of_head(head, tmp_path), photos, CPU)
    seen = renderer.render(photos.held_out, 0, held_out=True)
    unknown = ~torch.from_numpy(photos.held_out.known(0).copy())
    assert not (seen.hit + seen.mask)[unknown].any()
    with pytest.raises(InputError, match="does not record how its photos were read"):
        photos_of_head(OpenedHead(replace(head, provenance={**known, "head": None}), tmp_path))


def test_a_head_of_a_capture_whose_neck_did_nothing_is_opened(tiny_root: Path, tmp_path: Path, monkeypatch):
    """Versions before 0.3.0 ignored it; it is refused now, but that head was trained all the same."""
    monkeypatch.setattr(looks, "_find_landmarks", lambda photos, masks: [None] * len(photos))  # the egg has no face
    write_own_photos(tiny_root, SCENE, tmp_path, head={**BLOCK, "cut": None})
    metadata = HeadDataParserConfig(data=tmp_path).setup().get_dataparser_outputs("train").metadata
    known = {**metadata["provenance"], "data": str(tmp_path), "views": metadata["view_indices"], "neck_mm": 60.0}
    head = Head(weights_of_field(SMALL.setup()), known, metadata["frame"])
    assert len(photos_of_head(OpenedHead(head, tmp_path)).training) == len(known["views"])


def test_the_scale_of_photos_opened_again_is_said_as_when_they_were_trained_on(
    tiny_root: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(looks, "_find_landmarks", lambda photos, masks: [None] * len(photos))  # the egg has no face
    pupils = {"scale_source": "pupils 63 mm apart", "scale_uncertainty_percent": 3.0}
    write_own_photos(tiny_root, SCENE, tmp_path, head={**BLOCK, **pupils})
    metadata = HeadDataParserConfig(data=tmp_path).setup().get_dataparser_outputs("train").metadata
    trained = capsys.readouterr().out
    known = {**metadata["provenance"], "data": str(tmp_path), "views": metadata["view_indices"]}
    photos_of_head(OpenedHead(Head(weights_of_field(SMALL.setup()), known, metadata["frame"]), tmp_path))
    for said in (trained, capsys.readouterr().out):
        assert "mm, by pupils 63 mm apart (+- 3 %)." in " ".join(said.split()).replace(" scene.py", "")


def test_own_photos_are_known_by_name_where_one_was_taken_out(tiny_root: Path, tmp_path: Path, monkeypatch):
    """The frame, which would be another by fewer photos and other masks, stays what the head was trained in."""
    monkeypatch.setattr(looks, "_find_landmarks", lambda photos, masks: [None] * len(photos))  # the egg has no face
    content = write_own_photos(tiny_root, SCENE, tmp_path)
    config = HeadDataParserConfig(data=tmp_path, views=("3,1",), mm_per_unit=81.0, neck_mm=70.0)
    metadata = config.setup().get_dataparser_outputs("train").metadata
    known = {**metadata["provenance"], "data": str(tmp_path), "views": metadata["view_indices"]}
    head = Head(weights_of_field(SMALL.setup()), known, metadata["frame"], metadata["camera_centres"])
    opened = OpenedHead(head, tmp_path / HEAD_FILE)
    before = photos_of_head(opened).training.image_filenames
    del content["frames"][0]
    trained_on = content["frames"][2]
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    mask = next(path for path in (tmp_path / "masks").iterdir() if "1" in path.name)
    smaller = np.asarray(Image.open(mask)).copy()
    smaller[: len(smaller) // 2] = 0
    Image.fromarray(smaller).save(mask)
    frame = HeadDataParserConfig(data=tmp_path, mm_per_unit=81.0, neck_mm=70.0).setup().scene.frame
    assert abs(frame.radius_mm - metadata["frame"].radius_mm) > 1.0
    photos = photos_of_head(opened)
    np.testing.assert_allclose(photos.training.metadata["camera_centres"], metadata["camera_centres"], atol=1e-5)
    assert photos.training.image_filenames == before and photos.training.metadata["view_indices"] == [2, 0]
    assert photos.held_out.metadata["view_indices"] == [1, 3]
    trained_on["transform_matrix"][0][3] += 0.1
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=f"{HEAD_FILE} was trained with other cameras than the photos in {tmp_path} have"
    ):
        photos_of_head(opened)
    content["frames"].remove(trained_on)
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"{HEAD_FILE} was trained on the photo {trained_on['file_path']}, which is"):
        photos_of_head(opened)
