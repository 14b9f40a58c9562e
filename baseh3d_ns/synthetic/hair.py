"""Hair as a shell round the skull: hairline, thickness, fall.

1. Cast rays inwards on to the head without its ears: the radius of the skull in every direction of a fine icosphere.
2. Where hair grows (`inside_hairline_mm`), lift that radius by the style's thickness; hanging hair falls plumb.
3. Add locks or curls, and let the shell sink below the skin at the hairline: its edge is the seam of two surfaces.
"""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Bool, Float
from scipy.interpolate import PchipInterpolator
from scipy.sparse import csr_matrix

from baseh3d_ns.synthetic.anatomy import ATTRIBUTES, CANONICAL, EAR, HAIR, nearest_vertex, under_cloth_mm
from baseh3d_ns.synthetic.hair_style import HairStyle
from baseh3d_ns.synthetic.identity import Identity
from baseh3d_ns.synthetic.noise import fractal, noise, smoothstep
from baseh3d_ns.synthetic.rays import RayCaster
from baseh3d_ns.synthetic.surface import Surface, refine

SKULL_CENTRE_MM = np.array([0.0, 10.0, 5.0])
"""Canonical centre of the skull in millimetres: origin of the angles below."""
WHORL = np.array([0.12, 0.88, -0.46])
"""Canonical direction of the crown, from which all strands radiate."""
BUN_DIRECTION = np.array([0.0, 0.34, -0.94])
"""Direction of a bun from the centre of the skull."""
MM_PER_DEGREE = 1.7
"""Arc length of a degree on the skull, in millimetres."""
SUNK_MM = 6.0
"""Depth of the rim of the shell below the skin, in millimetres."""
FREE_EARS = (
    (0, 14, 30, 44, 56, 64, 70, 76, 81, 86, 92, 100, 106, 112, 122, 140, 160, 180),
    (32, 32.5, 33, 29, 22, 12, 0, -12, -16, -6, 4, 5, -2, -16, -28, -38, -41, -42),
)
"""Hairline round free ears: angles from straight ahead and elevations above the centre of the skull, in degrees."""
OVER_EARS = (
    (0, 14, 30, 44, 54, 62, 68, 74, 84, 96, 110, 180),
    (32, 32.5, 33, 29, 22, 10, -6, -24, -38, -46, -50, -52),
)
"""The same for hair that grows down over the ears."""
PART_MM = 17.0
"""Distance of a parting to the left of the middle, in millimetres."""
CURTAIN_DEG, BEHIND_EARS_DEG = (72.0, 80.0), (112.0, 124.0)
"""Angles from straight ahead between which hanging hair begins, in degrees: over the ears, and behind them."""
LONGEST_EDGE_MM = 6.5
"""Longest edge of the shell in millimetres."""
BRIDGE_MM = 16.0
"""Largest radial step within a triangle of the shell, in millimetres: steeper ones bridge hair and shoulders."""


def inside_hairline_mm(canonical: Float[np.ndarray, "n 3"], style: HairStyle, salt: float) -> Float[np.ndarray, " n"]:
    """Distance of canonical points inside the hairline in millimetres (negative: bare skin), with an irregular edge."""
    from_skull = canonical - SKULL_CENTRE_MM
    ahead_deg = np.degrees(np.arctan2(np.abs(from_skull[:, 0]), from_skull[:, 2]))
    up_deg = np.degrees(np.arcsin(np.clip(from_skull[:, 1] / np.linalg.norm(from_skull, axis=1), -1.0, 1.0)))
    knots = OVER_EARS if style.length_mm > 0 and not style.behind_ears else FREE_EARS
    line_deg = PchipInterpolator(*knots)(ahead_deg)
    temples = np.exp(-(((ahead_deg - 34.0) / 16.0) ** 2))
    line_deg = line_deg + style.recede_deg * (smoothstep(75.0, 35.0, ahead_deg) * 0.55 + 0.75 * temples)
    to_part_mm = np.abs(canonical[:, 0] - PART_MM)
    line_deg = line_deg + style.part * 15.0 * np.exp(-to_part_mm / 11.0) * smoothstep(60.0, 20.0, ahead_deg)
    if style.name == "bald":
        line_deg = np.where(up_deg > 8.0, np.maximum(line_deg, 95.0 - 0.62 * ahead_deg), line_deg)
    ragged = 1.8 * noise(canonical / 7.0, salt + 1.0) + 1.2 * noise(canonical / 2.5, salt + 2.0)
    locks = strand_noise(canonical, 5.0, 400.0, salt + 22.0)
    return (up_deg - line_deg) * MM_PER_DEGREE + ragged + 1.5 * style.clump_mm * locks * (1.0 - style.curly)


def strand_noise(
    canonical: Float[np.ndarray, "n 3"], across_mm: float, along_mm: float, salt: float, octaves: int = 1
) -> Float[np.ndarray, " n"]:
    """Random field that varies over `across_mm` across strands and `along_mm` along them.

    Strands radiate from the crown and hang plumb below the ears; the two fields are blended, since blended coordinates
    would fold.
    """
    size = np.array([across_mm, across_mm, along_mm])
    radiating = fractal(_from_crown(canonical) / size, octaves, salt)
    plumb = fractal(canonical[:, [0, 2, 1]] / size, octaves, salt)
    hangs = smoothstep(-10.0, -70.0, canonical[:, 1])
    return (radiating * (1.0 - hangs) + plumb * hangs) / np.hypot(hangs, 1.0 - hangs)


def _from_crown(canonical: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Coordinates about the crown: a point on a ring and the arc length down from it, in mm on a 100 mm sphere."""
    axis = WHORL / np.linalg.norm(WHORL)
    side = np.cross(axis, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    from_skull = canonical - SKULL_CENTRE_MM
    unit = from_skull / np.linalg.norm(from_skull, axis=1, keepdims=True)
    down = np.arccos(np.clip(unit @ axis, -1.0, 1.0))
    round_crown = np.arctan2(unit @ np.cross(axis, side), unit @ side)
    return 100.0 * np.column_stack([np.cos(round_crown), np.sin(round_crown), down])


def grow_hair(head: Surface, identity: Identity) -> Surface | None:
    """Hair shell of one head (None for a bald one) with the attribute columns of the head."""
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
    inside = np.minimum(inside, -under_cloth_mm(canonical, identity))
    combed = _combed_radius(radius, canonical, inside, rays, style, identity.salt)
    edge = smoothstep(-2.0, 5.0, inside)
    if style.length_mm > 0:
        falling, curtain = _hanging_hair(combed, rays, head, centre, style)
        # Hair ends where it would fall into the shoulders.
        curtain = curtain * smoothstep(-3.0, 5.0, falling - radius)
        combed = combed + (falling - combed).clip(0.0) * curtain
        edge = np.maximum(edge, curtain)
    lifted = _relaxed(combed, sphere, 8 if style.top_mm > 5 else 2)
    lifted += _locks_mm(canonical, edge, style, identity.salt)
    shell_radius = radius - SUNK_MM + (lifted - radius + SUNK_MM) * edge
    attributes = np.zeros((len(rays), ATTRIBUTES))
    offsets = shell_radius[:, None] * rays
    # Hair far from the skin has no place on the average head: its own place relative to the skull serves as well.
    attributes[:, CANONICAL] = SKULL_CENTRE_MM + offsets
    attributes[:, HAIR] = 1.0
    shell = Surface(centre + offsets, np.array(sphere.faces), attributes)
    stands_out = (shell_radius > radius - SUNK_MM / 2)[shell.faces].any(axis=1)
    # Below the tips of hanging hair the next surface is the shoulders, far away: no hair bridges that gap.
    bridges = np.ptp(shell_radius[shell.faces], axis=1) > BRIDGE_MM
    shell = shell.keep_faces(stands_out & ~bridges)
    return refine(shell, lambda surface: np.full(len(surface.vertices_mm), LONGEST_EDGE_MM))


def _skull(
    head: Surface, centre: Float[np.ndarray, " 3"], rays: Float[np.ndarray, "n 3"], sphere: trimesh.Trimesh
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Radius (mm) of the head without ears along each ray from the centre, and the canonical point there."""
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


def _combed_radius(
    radius: Float[np.ndarray, " n"],
    canonical: Float[np.ndarray, "n 3"],
    inside: Float[np.ndarray, " n"],
    rays: Float[np.ndarray, "n 3"],
    style: HairStyle,
    salt: float,
) -> Float[np.ndarray, " n"]:
    """Radius (mm) of the hair that lies on the skull, without locks: thin at the hairline, full on the crown."""
    level = smoothstep(-10.0, 75.0, canonical[:, 1])
    thickness = style.side_mm + (style.top_mm - style.side_mm) * level
    rise_mm = 4.0 + style.rise * style.top_mm
    groove = np.exp(-(((canonical[:, 0] - PART_MM) / 5.0) ** 2)) * smoothstep(20.0, 50.0, canonical[:, 1])
    thickness = thickness * (1.0 - 0.55 * style.part * groove)
    # Less at the forehead, and never quite even.
    thickness = thickness * (0.5 + 0.5 * smoothstep(92.0, 35.0, canonical[:, 2]))
    thickness = thickness * (1.0 + 0.22 * noise(canonical / 38.0, salt + 21.0))
    thickness = thickness * (0.12 + 0.88 * smoothstep(0.0, rise_mm, inside) ** 0.7)
    bun = style.bun_mm * smoothstep(0.93, 0.975, rays @ BUN_DIRECTION) ** 0.7
    return radius + thickness + bun


def _hanging_hair(
    combed: Float[np.ndarray, " n"],
    rays: Float[np.ndarray, "n 3"],
    head: Surface,
    centre: Float[np.ndarray, " 3"],
    style: HairStyle,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Radius (mm) of hair that falls plumb over the nape, over the ears or behind them; and its weight, 0..1."""
    ears = head.vertices_mm[head.attributes[:, EAR] > 0.5] - centre
    half_width = np.abs(ears[:, 0]).max() + 2.0
    half_depth = combed[np.argmin(rays[:, 2])]
    flat = np.hypot(rays[:, 0], rays[:, 2]).clip(0.05)
    right, ahead = rays[:, 0] / flat, rays[:, 2] / flat
    falling = 1.0 / np.hypot(right / half_width, ahead / half_depth).clip(1e-3) / flat
    height = falling * rays[:, 1]
    round_deg = np.degrees(np.arctan2(np.abs(rays[:, 0]), rays[:, 2]))
    starts_deg = BEHIND_EARS_DEG if style.behind_ears else CURTAIN_DEG
    # Ends of different length, and a front edge that hangs forward with the way down.
    ends = 7.0 * noise(np.column_stack([right * 9.0, ahead * 9.0, np.zeros(len(rays))]), 3.0)
    curtain = smoothstep(55.0, 5.0, height) * smoothstep(*starts_deg, round_deg)
    return falling, curtain * smoothstep(-2.0, 16.0, height + style.length_mm + ends)


def _locks_mm(
    canonical: Float[np.ndarray, "n 3"], edge: Float[np.ndarray, " n"], style: HairStyle, salt: float
) -> Float[np.ndarray, " n"]:
    """Height of locks or curls in millimetres."""
    straight = strand_noise(canonical, 11.0, 60.0, salt + 5.0, octaves=3)
    curls = fractal(canonical / 11.0, 3, salt + 6.0)
    return style.clump_mm * (straight + (curls - straight) * style.curly) * edge


def _relaxed(radius: Float[np.ndarray, " n"], sphere: trimesh.Trimesh, rounds: int) -> Float[np.ndarray, " n"]:
    """Radius after so many rounds of Laplacian smoothing over the sphere."""
    weights = _neighbour_mean(sphere)
    for _ in range(rounds):
        radius = 0.5 * radius + 0.5 * (weights @ radius)
    return radius


def _fill(
    values: Float[np.ndarray, "n c"], known: Bool[np.ndarray, " n"], sphere: trimesh.Trimesh
) -> Float[np.ndarray, "n c"]:
    """Values with unknown rows (holes of the ears) continued smoothly from their surroundings (Jacobi iteration)."""
    weights = _neighbour_mean(sphere)
    filled = values.copy()
    filled[~known] = values[known].mean(axis=0)
    for _ in range(300):
        filled[~known] = (weights @ filled)[~known]
    return filled


def _neighbour_mean(sphere: trimesh.Trimesh) -> csr_matrix:
    """Matrix that averages a value over the neighbours of each vertex."""
    first, second = sphere.edges_unique.T
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    counts = np.bincount(rows, minlength=len(sphere.vertices))
    return csr_matrix((1.0 / counts[rows], (rows, columns)), shape=(len(counts), len(counts)))
