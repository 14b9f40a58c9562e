"""Landmarks and regions of a scan that do not fit each other, the scan's alignment, or the photos.

A region that holds what is no face (a collar, a robe) counts in every score and pulls the official alignment, without
a sign.
"""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Float

from baseh3d_ns.data.h3ds_package import H3DS
from baseh3d_ns.data.h3ds_scene import H3dsScene, View
from baseh3d_ns.data.pictures import read_mask
from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.icp import align_plainly
from baseh3d_ns.evaluation.protocol import ALIGNED_REGION, FACE_RADIUS_MM, FACE_REGION
from baseh3d_ns.frames import LANDMARKS_MM

PLAIN_POINTS = 3000
"""Most points of a region that the plain alignment uses."""
WORSE, WORSE_MM = 1.3, 0.25
"""Factor and difference in millimetres by which a face must fit worse after a plain alignment to be doubted."""
FAR_MM, MOSTLY_FAR, WORTH_MM = 5.0, 0.5, 1.0
"""Distance of a point that is no error of a surface, share of the face error that such points must make up to be named,
and face error in mm below which they are not worth it."""
WIDE_MM = 1.05 * FACE_RADIUS_MM
"""Distance from the tip of the nose that no vertex of `FACE_REGION` has."""
LANDMARK_MM = 100.0
"""Distance from the tip of the nose that no other landmark has: about 75 mm on an adult."""
BARE_SHARE = 0.05
"""Share of vertices without a face above which a scan looks cut off: an .obj does not say how many it has."""
OFF_MASK_SHARE = 0.03
"""Share of a region off the masks above which something else was counted as face."""
EDGE = 0.015
"""Distance from a mask, in longer sides of the photo, that still counts as on it."""
CHECKED_POINTS = 2000


def doubts_of_alignment(
    h3ds: H3DS, scene_id: str, mesh: trimesh.Trimesh, world_to_pred: Float[np.ndarray, "4 4"]
) -> list[str]:
    """Sentences for a face that a plain alignment, as that of the official head score, fits much worse than the robust
    one, and for a face score made by few far points; none where all agree.

    Args:
        h3ds: the dataset.
        scene_id: its scene.
        mesh: the prediction in world mm.
        world_to_pred: the robust alignment.
    """
    vertices, surface = h3ds.load_mesh(scene_id).vertices, Surface(mesh)
    aligned_on, face = (
        trimesh.transform_points(vertices[_some(h3ds.load_region(scene_id, region), PLAIN_POINTS)], world_to_pred)
        for region in (ALIGNED_REGION, FACE_REGION)
    )
    plainly = trimesh.transform_points(face, align_plainly(aligned_on, surface))
    robust, plain = (surface.closest(points).distances for points in (face, plainly))
    found = []
    plain_mm, robust_mm = float(np.median(plain)), float(np.median(robust))
    if plain_mm > WORSE * robust_mm + WORSE_MM:
        found.append(
            f"Aligned on all of region '{ALIGNED_REGION}', as for the official head score, half of the face lies "
            f"within {plain_mm:.2f} mm, but within {robust_mm:.2f} mm when points far off are left out, as for the "
            "rigid scores; look for what is no face in that region, or for a part of the head that the fit lacks."
        )
    far = robust > FAR_MM
    if robust[far].sum() > MOSTLY_FAR * robust.sum() and robust.mean() > WORTH_MM:
        found.append(
            f"{100.0 * far.mean():.0f} % of region '{FACE_REGION}' lie more than {FAR_MM:.0f} mm from the head and "
            "make up most of its face error: these are no face, or a part that the fit lacks."
        )
    return found


def misfits_of_scan(h3ds: H3DS, scene_id: str) -> list[str]:
    """One sentence for each landmark or region that does not fit the others."""
    scan, landmarks = h3ds.load_mesh(scene_id), h3ds.load_landmarks(scene_id)
    vertices = scan.vertices
    nose = vertices[landmarks["nose_tip"]]
    found = []
    bare = 1.0 - len(np.unique(scan.faces)) / len(vertices)
    if bare > BARE_SHARE:
        found.append(
            f"{100.0 * bare:.0f} % of the scan's vertices belong to no face, but count in the scores: perhaps its file "
            "is cut off."
        )
    face = h3ds.load_region(scene_id, FACE_REGION)
    widest = float(np.linalg.norm(vertices[face] - nose, axis=1).max())
    if widest > WIDE_MM:
        found.append(
            f"Region '{FACE_REGION}' reaches {widest:.0f} mm from the tip of the nose, not {FACE_RADIUS_MM:.0f}: it "
            "counts more than a face, or nose_tip is another vertex."
        )
    for region in (ALIGNED_REGION, FACE_REGION):
        nearest = float(np.linalg.norm(vertices[h3ds.load_region(scene_id, region)] - nose, axis=1).min())
        if nearest > 0.1 * FACE_RADIUS_MM:
            found.append(f"The tip of the nose lies {nearest:.0f} mm outside region '{region}'.")
    for name in LANDMARKS_MM.keys() & landmarks.keys():
        away = float(np.linalg.norm(vertices[landmarks[name]] - nose))
        if away > LANDMARK_MM:
            found.append(f"Landmark {name} lies {away:.0f} mm from the tip of the nose, too far for one face.")
    return sorted(found)


def misfits_with_photos(h3ds: H3DS, scene: H3dsScene) -> list[str]:
    """One sentence for each region or landmark that the photos' masks do not show as part of the head."""
    vertices, landmarks = h3ds.load_mesh(scene.scene_id).vertices, h3ds.load_landmarks(scene.scene_id)
    nose = vertices[[landmarks["nose_tip"]]]
    parts = {
        f"region '{region}'": vertices[_some(h3ds.load_region(scene.scene_id, region), CHECKED_POINTS)]
        for region in (ALIGNED_REGION, FACE_REGION)
    }
    found = []
    if np.linalg.norm(scene.frame.to_unit(nose)) > 1.0:
        found.append("The scan's tip of the nose lies outside the ball that the photos are of: another world, or unit.")
    for name, points in parts.items():
        off = _off_masks(points, scene)
        if off > OFF_MASK_SHARE:
            found.append(
                f"{100.0 * off:.0f} % of {name} lie off the masks in most photos: it counts what is not the head in "
                "them, or scan and cameras do not belong together."
            )
    return found


def _off_masks(points: np.ndarray, scene: H3dsScene) -> float:
    """Share of points that lie off the mask in more than half of the photos that could show them."""
    votes = np.stack([_on_mask(points, view) for view in scene.views])
    shown = np.isfinite(votes)
    off = (shown & (votes == 0.0)).sum(axis=0)
    return float((2 * off > shown.sum(axis=0)).mean())


def _on_mask(points: np.ndarray, view: View) -> Float[np.ndarray, " n"]:
    """1 on the mask or near its edge, 0 off it, NaN outside the photo."""
    from scipy.ndimage import distance_transform_edt

    mask = read_mask(view.mask_path)
    near = distance_transform_edt(~mask) <= EDGE * max(mask.shape)
    column, row = np.rint(view.camera.project(points)).astype(int).T
    inside = (column >= 0) & (column < view.camera.width) & (row >= 0) & (row < view.camera.height)
    on = np.full(len(points), np.nan)
    on[inside] = near[row[inside], column[inside]]
    return on


def _some(indices: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the indices, evenly."""
    return indices[:: -(-len(indices) // most)]
