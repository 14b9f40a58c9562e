"""The film from a prior to a fitted head: what lies between two heads, where the camera stands, what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import call_here

from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.viewer.turntable import (
    DISTANCE,
    Morph,
    camera_at,
    check_ffmpeg,
    make_turntable,
    morph_share,
    prior_and_fit,
    write_film,
)


def small_field(seed: int):
    torch.manual_seed(seed)
    sdf = SdfNetworkConfig(layers=2, width=32, skip_layer=0, features=8)
    return HeadFieldConfig(sdf=sdf, colour=ColourNetworkConfig(layers=1, width=16)).setup()


def test_a_morph_is_each_head_at_its_end_and_interpolates_between():
    one, other = small_field(0), small_field(1)
    with torch.no_grad():
        other.placement.similarity[0] = 0.3
    points, views = 0.5 * torch.randn(20, 3), torch.nn.functional.normalize(torch.randn(20, 3), dim=-1)

    def seen(field):
        sdf, features, gradient = field.with_gradient(points, create_graph=False)
        return sdf, gradient, field.colour(points, gradient, views, features).detach()

    ends = [seen(one), seen(other)]
    for share in (0.0, 0.3, 1.0):
        for part, first, last in zip(seen(Morph(one, other, share)), *ends, strict=True):
            torch.testing.assert_close(part, torch.lerp(first, last, share))
    torch.testing.assert_close(Morph(one, other, 0.3).sdf(points).detach(), torch.lerp(ends[0][0], ends[1][0], 0.3))


def test_a_tracer_between_two_finds_the_surface_between():
    tracers = [GridTracer(32) for _ in range(2)]
    for tracer, radius in zip(tracers, (0.4, 0.6), strict=True):
        tracer.refresh(lambda points, radius=radius: points.norm(dim=-1) - radius, torch.device("cpu"))
    origins, towards = torch.tensor([[0.0, 0.0, 3.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    hits = tracers[0].between(tracers[1], 0.5).trace(lambda points: points.norm(dim=-1) - 0.5, origins, towards)
    assert hits.hit.all() and hits.t.item() == pytest.approx(2.5, abs=1e-4)


def test_the_film_begins_with_the_prior_and_ends_with_the_fit():
    shares = [morph_share(done) for done in np.linspace(0.0, 1.0, 21)]
    assert shares[0] == shares[2] == 0.0 and shares[-1] == shares[14] == 1.0 and sorted(shares) == shares


def test_the_camera_begins_before_the_face_of_a_head_that_lies_on_its_side():
    upright = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for done, ahead in ((0.0, 1.0), (0.25, 0.0), (0.5, -1.0)):
        c2w = camera_at(done, upright, 64).camera_to_worlds[0]
        assert c2w[:, 3].norm().item() == pytest.approx(DISTANCE) and torch.linalg.det(c2w[:, :3]) > 0.99
        assert (c2w[:, 2] @ upright[2]).item() == pytest.approx(ahead, abs=1e-6)
        torch.testing.assert_close(c2w[:, 1], upright[1])
    left = camera_at(0.25, upright, 64).camera_to_worlds[0, :, 3]
    assert (left @ upright[0]).item() == pytest.approx(DISTANCE)


def test_a_fit_remembers_its_prior_and_a_film_of_it_is_written_once(fit_run, tmp_path):
    prior, fit = prior_and_fit(fit_run.folder)
    points = torch.rand(50, 3) - 0.5
    assert 0.0 < (prior.sdf(points) - fit.sdf(points)).abs().max() < 0.3
    words = ("turntable", "--load-config", fit_run.folder, "--output", tmp_path / "head.mp4")
    said = call_here(*words, "--seconds", 0.1, "--size", 32)
    assert "2 pictures" in said
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=width,nb_frames", "-of", "csv=p=0"]
    assert subprocess.check_output([*probe, tmp_path / "head.mp4"], text=True).strip() == "32,2"
    with pytest.raises(SystemExit):
        call_here(*words)


def test_a_run_that_started_from_nothing_has_no_film(prior_run):
    with pytest.raises(InputError, match="does not remember a prior"):
        prior_and_fit(prior_run.folder)
    with pytest.raises(InputError, match="builtin has no checkpoints beside it: pass the run folder of a fit"):
        prior_and_fit(Path("builtin"))


def ffmpeg_that_says(words: str, folder: Path) -> None:
    """A program of that name that fails."""
    (folder / "ffmpeg").write_text(f'#!/bin/sh\necho "first" >&2\necho "{words}" >&2\nexit 1\n')
    (folder / "ffmpeg").chmod(0o755)


def grey_pictures(count: int):
    return iter(np.full((count, 64, 64, 3), 128, np.uint8))


@pytest.mark.parametrize("there", [False, True])
def test_an_ffmpeg_that_cannot_make_films_is_a_sentence_before_any_head_is_read(there, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    if there:
        ffmpeg_that_says("Unknown encoder 'libx264'", tmp_path)
    said = r"cannot write H.264 \(Unknown encoder 'libx264'\)" if there else "films need the program ffmpeg: install"
    with pytest.raises(InputError, match=said):
        make_turntable(tmp_path / "nowhere", tmp_path / "head.mp4", 1.0, 64, "rgb", torch.device("cpu"))


def test_an_ffmpeg_that_fails_later_is_a_sentence_with_its_last_line(tmp_path, monkeypatch):
    check_ffmpeg(64)
    ffmpeg_that_says("Conversion failed!", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"head\.mp4 cannot be written \(Conversion failed!\)"):
        write_film(tmp_path / "head.mp4", grey_pictures(20), 20, 64)


def test_a_film_may_have_a_colon_in_its_name(tmp_path, monkeypatch):
    """ffmpeg takes what stands before it for a protocol."""
    monkeypatch.chdir(tmp_path)
    write_film(Path("take:2.mp4"), grey_pictures(3), 3, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["take:2.mp4"]


def test_ctrl_c_in_a_film_is_no_error_of_a_file(tmp_path, monkeypatch):
    """The terminal sends it to ffmpeg as well, which then fails."""
    check_ffmpeg(64)
    ffmpeg_that_says("Exiting normally, received signal 2.", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    def pictures():
        raise KeyboardInterrupt  # before a picture, which this ffmpeg may be too quick to take
        yield

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / "head.mp4", pictures(), 3, 64)


def test_an_error_of_the_pictures_is_not_taken_for_one_of_ffmpeg(tmp_path):
    def pictures():
        yield from grey_pictures(2)
        raise RuntimeError("CUDA error in a folder named ffmpeg")

    with pytest.raises(RuntimeError, match="CUDA error"):
        write_film(tmp_path / "head.mp4", pictures(), 3, 64)
    assert list(tmp_path.iterdir()) == []
