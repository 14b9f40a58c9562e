"""Hair as a shell round the skull: where it grows, how thick it stands, how it falls.

1. Cast rays inwards on to the head without its ears: the radius of the skull in every direction of a fine icosphere.
2. Where hair grows (`inside_hairline_mm`), lift that radius by the thickness of the style; hanging hair falls plumb.
3. Add locks or curls, and let the shell sink below the skin at the hairline, so that its edge is the seam of two surfaces.
"""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Bool, Float
from scipy.interpolate import PchipInterpolator
from scipy.sparse import csr_matrix

from baseh3d_ns.synthetic.anatomy import ATTRIBUTES, CANONICAL, EAR, HAIR, LANDMARKS_MM, nearest_vertex
from baseh3d_ns.synthetic.identity import HairStyle, Identity
from baseh3d_ns.synthetic.noise import fractal, noise, smoothstep
from baseh3d_ns.synthetic.rays import RayCaster
from baseh3d_ns.synthetic.surface import Surface

SKULL_CENTRE_MM = np.array([0.0, 10.0, 5.0])
"""Canonical centre of the skull: origin of the angles below."""
WHORL = np.array([0.12, 0.88, -0.46])
"""Canonical direction of the crown, where all strands start."""
MM_PER_DEGREE = 1.7
SUNK_MM = 6.0
"""How far below the skin the shell ends."""
# Elevation of the hairline above the skull centre against the angle from straight ahead, both in degrees.
FREE_EARS = ([0, 14, 30, 44, 56, 64, 70, 76, 81, 86, 92, 100, 106, 112, 122, 140, 160, 180],
             [32, 32.5, 33, 29, 22, 12, 0, -12, -16, -6, 4, 5, -2, -16, -28, -38, -41, -42])  # fmt: skip
OVER_EARS = ([0, 14, 30, 44, 54, 62, 68, 74, 80, 180], [32, 32.5, 33, 29, 22, 10, -6, -30, -80, -80])


def inside_hairline_mm(canonical: Float[np.ndarray, "n 3"], style: HairStyle, salt: float) -> Float[np.ndarray, "n"]:
    """How far inside the hairline a canonical point lies (negative: bare skin), with an irregular edge."""
    from_skull = canonical - SKULL_CENTRE_MM
    ahead_deg = np.degrees(np.arctan2(np.abs(from_skull[:, 0]), from_skull[:, 2]))
    up_deg = np.degrees(np.arcsin(np.clip(from_skull[:, 1] / np.linalg.norm(from_skull, axis=1), -1.0, 1.0)))
    knots = OVER_EARS if style.length_mm > 0 else FREE_EARS
    line_deg = PchipInterpolator(*knots)(ahead_deg)
    temples = np.exp(-(((ahead_deg - 34.0) / 16.0) ** 2))
    line_deg = line_deg + style.recede_deg * (smoothstep(75.0, 35.0, ahead_deg) * 0.55 + 0.75 * temples)
    if style.name == "bald":
        line_deg = np.where(up_deg > 8.0, np.maximum(line_deg, 95.0 - 0.62 * ahead_deg), line_deg)
    ragged = 1.8 * noise(canonical / 7.0, salt + 1.0) + 1.2 * noise(canonical / 2.5, salt + 2.0)
    return (up_deg - line_deg) * MM_PER_DEGREE + ragged


def strand_coordinates(canonical: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Coordinates that change fast across strands and slowly along them: a point on a ring about the crown, and the way down."""
    axis = WHORL / np.linalg.norm(WHORL)
    side = np.cross(axis, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    from_skull = canonical - SKULL_CENTRE_MM
    unit = from_skull / np.linalg.norm(from_skull, axis=1, keepdims=True)
    down = np.arccos(np.clip(unit @ axis, -1.0, 1.0))
    round_crown = np.arctan2(unit @ np.cross(axis, side), unit @ side)
    # Below the level of the ears hair falls plumb: there the ring is the horizontal one.
    return np.column_stack([np.cos(round_crown) * 100.0, np.sin(round_crown) * 100.0, down * 100.0])


def grow_hair(head: Surface, identity: Identity) -> Surface | None:
    """The hair shell of one head (None for a bald one), attributes as the head's."""
    style = identity.hair
    if style.top_mm == 0.0:
        return None
    sphere = trimesh.creation.icosphere(subdivisions=6)
    rays = np.array(sphere.vertices)
    canonical_of_head = head.attributes[:, CANONICAL]
    centre = head.vertices_mm[nearest_vertex(canonical_of_head, (0.0, 114.0, -5.0))] * np.array([0.0, 1.0, 1.0])
    centre -= np.array([0.0, 104.0, -10.0])
    radius, canonical = _skull(head, centre, rays, sphere)
    inside = inside_hairline_mm(canonical, style, identity.salt)
    lifted = _lifted_radius(radius, canonical, inside, rays, head, centre, style, sphere)
    lifted += _locks_mm(canonical, inside, style, identity.salt)
    edge = smoothstep(-2.0, 5.0, inside)
    shell_radius = radius - SUNK_MM + (lifted - radius + SUNK_MM) * edge
    attributes = np.zeros((len(rays), ATTRIBUTES))
    attributes[:, CANONICAL] = canonical
    attributes[:, HAIR] = 1.0
    shell = Surface(centre + shell_radius[:, None] * rays, np.array(sphere.faces), attributes)
    return shell.keep_faces((shell_radius > radius - SUNK_MM / 2)[shell.faces].any(axis=1))


def _skull(
    head: Surface, centre: Float[np.ndarray, "3"], rays: Float[np.ndarray, "n 3"], sphere: trimesh.Trimesh
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """Radius of the head without ears along each ray from the centre, and the canonical point there."""
    smooth_skull = head.keep_faces((head.attributes[:, EAR] < 0.3)[head.faces].all(axis=1))
    outside = 450.0
    hits = RayCaster(smooth_skull).first_hits(centre + outside * rays, -rays)
    values = hits.interpolate(np.hstack([smooth_skull.vertices_mm, smooth_skull.attributes[:, CANONICAL]]))
    radius = np.zeros(len(rays))
    canonical = np.zeros((len(rays), 3))
    radius[hits.ray] = np.einsum("ni,ni->n", values[:, :3] - centre, rays[hits.ray])
    canonical[hits.ray] = values[:, 3:]
    known = radius > 40.0
    filled = _fill(np.column_stack([radius, canonical]), known, sphere)
    return filled[:, 0], filled[:, 1:]


def _lifted_radius(
    radius: Float[np.ndarray, "n"],
    canonical: Float[np.ndarray, "n 3"],
    inside: Float[np.ndarray, "n"],
    rays: Float[np.ndarray, "n 3"],
    head: Surface,
    centre: Float[np.ndarray, "3"],
    style: HairStyle,
    sphere: trimesh.Trimesh,
) -> Float[np.ndarray, "n"]:
    """Radius of the combed hair without locks."""
    level = smoothstep(-10.0, 75.0, canonical[:, 1])
    thickness = style.side_mm + (style.top_mm - style.side_mm) * level
    thickness = thickness * (0.25 + 0.75 * smoothstep(0.0, 16.0 if style.top_mm > 5 else 4.0, inside))
    lifted = radius + thickness
    if style.bun_mm > 0:
        bun = np.array([0.0, 0.34, -0.94])
        lifted += style.bun_mm * smoothstep(0.93, 0.975, rays @ bun) ** 0.7
    if style.length_mm > 0:
        lifted = np.maximum(lifted, _hanging_radius(lifted, rays, head, centre, style))
    weights = _neighbour_mean(sphere)
    for _ in range(8 if style.top_mm > 5 else 2):
        lifted = 0.5 * lifted + 0.5 * (weights @ lifted)
    return lifted


def _hanging_radius(
    lifted: Float[np.ndarray, "n"],
    rays: Float[np.ndarray, "n 3"],
    head: Surface,
    centre: Float[np.ndarray, "3"],
    style: HairStyle,
) -> Float[np.ndarray, "n"]:
    """Radius of hair that falls plumb from its widest place, over the ears, down to the length of the style."""
    ears = head.vertices_mm[head.attributes[:, EAR] > 0.5] - centre
    half_width = np.abs(ears[:, 0]).max() + 3.0
    back = -lifted[np.argmin(rays @ np.array([0.0, 0.0, 1.0]))]
    flat = np.hypot(rays[:, 0], rays[:, 2]).clip(0.05)
    right, ahead = rays[:, 0] / flat, rays[:, 2] / flat
    ellipse = 1.0 / np.sqrt((right / half_width) ** 2 + (ahead / back) ** 2 + 1e-12)
    falling = ellipse / flat
    height = falling * rays[:, 1]
    below_crown = smoothstep(50.0, 10.0, height)
    tip = -style.length_mm
    ends = smoothstep(tip - 2.0, tip + 14.0, height)
    return falling * below_crown * ends


def _locks_mm(
    canonical: Float[np.ndarray, "n 3"], inside: Float[np.ndarray, "n"], style: HairStyle, salt: float
) -> Float[np.ndarray, "n"]:
    strands = strand_coordinates(canonical)
    straight = fractal(strands * np.array([1 / 11.0, 1 / 11.0, 1 / 60.0]), 3, salt + 5.0)
    curls = fractal(canonical / 11.0, 3, salt + 6.0)
    return style.clump_mm * (straight + (curls - straight) * style.curly) * smoothstep(0.0, 8.0, inside)


def _fill(values: Float[np.ndarray, "n c"], known: Bool[np.ndarray, "n"], sphere: trimesh.Trimesh) -> Float[np.ndarray, "n c"]:
    """Unknown rows (holes where the ears were) as smooth continuation of their surroundings."""
    weights = _neighbour_mean(sphere)
    filled = values.copy()
    filled[~known] = values[known].mean(axis=0)
    for _ in range(300):
        filled[~known] = (weights @ filled)[~known]
    return filled


def _neighbour_mean(sphere: trimesh.Trimesh) -> csr_matrix:
    first, second = sphere.edges_unique.T
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    counts = np.bincount(rows, minlength=len(sphere.vertices))
    return csr_matrix((1.0 / counts[rows], (rows, columns)), shape=(len(counts), len(counts)))
