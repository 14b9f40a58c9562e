"""Registration of a prior to a new head before fitting, in seconds.

The unit frames of two subjects differ by what happens to be in them (a bun, shoulders) and may have any axes, so a
prior that is loaded as it is starts centimetres off. A similarity of seven degrees of freedom is fitted to

1. the face: one detector finds its landmarks in the photos and knows them on the prior (`prior_face.py`); they say how
   the head stands in the world, and the rays through them should meet the prior's;
2. the silhouettes: soft ones of the prior's minimum SDF along a ray, as in IDR's mask loss (Yariv et al. 2020, eq. 7);
   their absolute difference from the masks, so that another haircut counts by its area and no more. Alone they take
   hair for head;
3. a prior on the pose: two heads are about as large, in millimetres, and stand as the landmarks say.

The prior's SDF is cached on a grid, so that placing it never asks the network. A shape space's latent is fitted as
well, once it is placed: then the grid says where on a ray the SDF is smallest, and the network its value there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.frames import HEAD_FRAME, SceneFrame
from baseh3d_ns.heads.latent_pca import LatentPca
from baseh3d_ns.placing.candidate import Candidate, min_sdf_along
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.placing.correspondences import FaceCorrespondences, correspondences
from baseh3d_ns.placing.face_pose import find_face_pose
from baseh3d_ns.placing.photo_faces import find_photo_faces
from baseh3d_ns.placing.prior_face import face_of_head, face_of_space
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.similarity import Similarity


@dataclass(frozen=True, eq=False)
class Registration:
    """Agreement of the placed prior with masks and faces."""

    iou_before: float
    """Intersection over union of the prior's silhouettes with the masks, as it was loaded."""
    iou_after: float
    """The same once it is placed."""
    min_iou: float
    """IoU below which the placement counts as poor."""
    face: FaceCorrespondences | None = None
    """Landmarks by which it was placed; None where silhouettes alone had to do."""
    stands_known: bool = True
    """Whether a face, in these photos or others of the head, said how it stands in the world, or the prior of one head
    was taken to stand in the same one."""

    @property
    def faces(self) -> int:
        """Number of views by whose faces the prior was placed."""
        return self.face.views if self.face else 0

    @property
    def confidence(self) -> float:
        """Confidence in the prior: 1 where it explains the masks as a head does, 0 at half of `min_iou`."""
        return min(1.0, max(0.0, 2.0 * self.iou_after / self.min_iou - 1.0))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each reason to doubt the placement."""
        found = []
        if not self.stands_known:
            found.append(
                "No face was found in the photos, so that the prior was placed by silhouettes alone, "
                "as if the head stood along the world's +y and faced +z; add a frontal photo if it does not."
            )
        if self.iou_after < self.min_iou:
            found.append(
                f"The placed prior's silhouettes agree with the masks to {self.iou_after:.2f} (IoU) only: check that "
                "the masks are white on the head, or take another prior."
            )
        return tuple(found)

    def summary(self, views: int) -> str:
        """Lines for the log."""
        text = f"Placed the prior: silhouettes agree to {self.iou_after:.2f} (IoU; {self.iou_before:.2f} as loaded), "
        text += f"faces used of {self.faces} of {views} views."
        return " ".join([text, *self.warnings])


def register_prior(
    field: HeadField,
    prior_frame: SceneFrame | None,
    dataset: HeadDataset,
    pool: RayPool,
    config: PlacingConfig,
    latents: Float[Tensor, "heads l"] | None = None,
    camera_centres: Float[Tensor, "v 3"] | None = None,
) -> Registration:
    """Set `field.placement`, and a shape space's `field.latent`, to where masks and photos of `dataset` show a head.

    Args:
        field: the prior, as loaded.
        prior_frame: unit frame it was trained in, for its size; None when unknown.
        dataset: photos, masks and cameras of the new head.
        pool: its rays.
        config: steps, weights and tolerances.
        latents: latents of the heads that a shape space was learned from.
        camera_centres: places in the prior's unit frame from where it was photographed.
    """
    from baseh3d_ns.bars import progress_bar

    found = _candidate(field, prior_frame, dataset, config, latents)
    found.refresh()
    before = _silhouette_iou(found, pool)
    face, stands_known = _find_face(found, dataset, camera_centres)
    found.placement.similarity.copy_(found.expected.similarity)
    with progress_bar(total=sum(config.steps), desc="Placing the prior", unit="step") as bar:
        _descend(found, pool, face, config.steps[0], bar.update)
        _descend(found, pool, face, config.steps[1], bar.update, with_latent=found.pca is not None)
    found.refresh()
    after = _silhouette_iou(found, pool)
    field.placement.follow(found.placement)
    return Registration(before, after, config.min_iou, face, stands_known or not found.upright)


def _find_face(
    found: Candidate, dataset: HeadDataset, camera_centres: Float[Tensor, "v 3"] | None
) -> tuple[FaceCorrespondences | None, bool]:
    """The face in the photos and on the prior, and whether it is known how the head stands.

    The candidate is expected where the two faces are one.
    """
    device, settings = found.coefficients.device, found.config.face
    frame: SceneFrame = dataset.metadata["frame"]
    known = _known_pose(dataset.metadata.get("ears"), frame)
    faces = find_photo_faces(dataset, settings.longest_px, settings.most_faces)
    if not faces.views and known is None:
        return None, False
    centres = dataset.metadata["camera_centres"] if camera_centres is None else camera_centres
    prior = (
        face_of_space()
        if found.upright
        else face_of_head(found.field, found.grid, centres.to(device), settings.render_size)
    )
    if prior is None:
        return None, False
    centre_mm = HEAD_FRAME.centre_mm if known is None else tuple(known.offset.tolist())
    pose = find_face_pose(faces, prior.model, SceneFrame(centre_mm, frame.radius_mm), settings)
    to_head = known if pose is None else pose.to_head
    if to_head is None:
        return None, False
    to_prior = prior.to_head.inverse().after(to_head)
    similarity = [np.log(to_prior.scale), *Rotation.from_matrix(to_prior.rotation).as_rotvec(), *to_prior.offset]
    found.expected.similarity.copy_(torch.tensor(similarity))
    return None if pose is None else correspondences(pose, prior, device), True


def _known_pose(ears: Float[np.ndarray, " 3"] | None, frame: SceneFrame) -> Similarity | None:
    """From the unit frame of an upright head to the head frame; None where nobody knows where its ears are."""
    return None if ears is None else Similarity(frame.radius_mm, np.eye(3), -frame.radius_mm * ears)


def _candidate(
    field: HeadField,
    prior_frame: SceneFrame | None,
    dataset: HeadDataset,
    config: PlacingConfig,
    latents: Float[Tensor, "heads l"] | None,
) -> Candidate:
    """The prior with the scale that is expected of it, in its own axes."""
    frame: SceneFrame = dataset.metadata["frame"]
    device = field.placement.similarity.device
    pca, coefficients = None, torch.zeros(0, device=device)
    if latents is not None and field.latent is not None:
        pca = LatentPca.fit(latents, field.latent.detach().clone(), config.latent_components)
        coefficients = torch.zeros(len(pca.components), device=device)
    expected = Placement()
    if prior_frame:
        expected.similarity[0] = float(np.log(frame.radius_mm / prior_frame.radius_mm))
    grid, upright = GridTracer(config.grid_cells), prior_frame == HEAD_FRAME
    return Candidate(config, field, grid, Placement().to(device), pca, coefficients, expected.to(device), upright)


def _descend(
    found: Candidate,
    pool: RayPool,
    face: FaceCorrespondences | None,
    steps: int,
    tick: Callable[[], object],
    with_latent: bool = False,
) -> None:
    """One stage of Adam on the similarity, and on the latent's coefficients where asked."""
    config = found.config
    similarity = found.placement.similarity.requires_grad_(True)
    coefficients = found.coefficients.requires_grad_(with_latent)
    rates = (config.learning_rate, config.latent_learning_rate)
    optimizer = torch.optim.Adam([{"params": [similarity]}, {"params": [coefficients]}])
    for step in range(steps):
        done = step / steps
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1.0 - done)
        if with_latent and step % config.latent_refresh_steps == 0:
            found.refresh()
        bundle, batch = pool.draw_from_all_views(config.rays)
        min_sdf, counts = min_sdf_along(found, bundle.origins, bundle.directions, with_latent)
        sharpness = config.sharpness[0] ** (1.0 - done) * config.sharpness[1] ** done
        loss = (torch.sigmoid(-sharpness * min_sdf) - batch["fg_mask"][:, 0])[counts].abs().mean()
        loss = loss + found.pose_penalty()
        if with_latent:
            loss = loss + config.latent_weight * coefficients.square().sum()
        if face and config.face.ray_weight > 0:
            loss = loss + config.face.ray_weight * face.ray_loss(found.placement)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick()
    similarity.requires_grad_(False)
    coefficients.requires_grad_(False)


@torch.no_grad()
def _silhouette_iou(found: Candidate, pool: RayPool) -> float:
    """Intersection over union of the placed prior's silhouettes and the masks, over a sample of all pixels."""
    bundle, batch = pool.draw_from_all_views(16 * found.config.rays)
    min_sdf, counts = min_sdf_along(found, bundle.origins, bundle.directions)
    predicted, in_mask = min_sdf[counts] < 0.0, batch["fg_mask"][counts, 0] > 0.5
    return float((predicted & in_mask).sum() / (predicted | in_mask).sum().clamp(min=1))
