"""Curves as SVG, without a library: a panel for each axis, both axes logarithmic, a line for each contender."""
import math

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 240, 60, 40, 50
COLOURS = ("#1b6ca8", "#8fbbd9", "#2e7d32", "#a5d6a7", "#c62828", "#ef9a9a")


def steps(low, high):
    """1, 10, 100, … around the values."""
    return [10.0 ** n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def position(value, low, high, size):
    return size * (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low) or 1)


def number(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def panel(axis, lines, left, names, low, high):
    xs = [x for points in lines.values() for x, _ in points]
    x_low, x_high = min(xs) * 0.8, max(xs) * 1.25
    out = [f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 36}" text-anchor="middle">{axis}</text>',
           f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>']
    for step in steps(low, high):
        y = TOP + HEIGHT - position(step, low, high, HEIGHT)
        if TOP - 1 <= y <= TOP + HEIGHT + 1:
            out.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
                       f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{number(step)} s</text>')
    for x in sorted(set(xs)):
        at = left + position(x, x_low, x_high, WIDTH)
        out.append(f'<text x="{at:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{number(x)}</text>')
    for name, points in lines.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        place = [(left + position(x, x_low, x_high, WIDTH), TOP + HEIGHT - position(y, low, high, HEIGHT)) for x, y in sorted(points)]
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in place)}"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in place]
    return out


def draw(curves):
    """curves: {axis: {name: [(x, seconds), …]}}"""
    names = sorted({name for lines in curves.values() for name in lines})
    seconds = [y for lines in curves.values() for points in lines.values() for _, y in points]
    low, high = min(seconds) * 0.8, max(seconds) * 1.25
    width, height = LEFT + len(curves) * (WIDTH + GAP), TOP + HEIGHT + 60 + 18 * ((len(names) + 2) // 3)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="14">Seconds of a purge against rows, tenants and rules</text>']
    for index, (axis, lines) in enumerate(curves.items()):
        out += panel(axis, lines, LEFT + index * (WIDTH + GAP), names, low, high)
    for index, name in enumerate(names):
        x, y = LEFT + index % 3 * 220, TOP + HEIGHT + 60 + index // 3 * 18
        out.append(f'<rect x="{x}" y="{y - 8}" width="12" height="4" fill="{COLOURS[index % len(COLOURS)]}"/><text x="{x + 18}" y="{y - 2}">{name}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"
