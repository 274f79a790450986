"""A chart of several curves as an SVG file, in the manner of the report of an evaluation."""

from collections.abc import Mapping, Sequence

from jinja2 import Environment

LEFT, RIGHT, TOP, BOTTOM = 62, 530, 34, 230
COLOURS = ("#0a58ca", "#b3261e", "#19692c", "#8a5300")

TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 280" font-family="sans-serif" \
font-size="11">
<rect width="560" height="280" fill="#fff"/>
<text x="62" y="18">{{ up }}</text>
<text x="296" y="272" text-anchor="middle">{{ across }}</text>
{% for x, y, text_x, text_y in ticks %}
<line x1="62" x2="530" y1="{{ y }}" y2="{{ y }}" stroke="#d9dee3"/>
<text x="54" y="{{ y + 4 }}" text-anchor="end">{{ text_y }}</text>
<text x="{{ x }}" y="250" text-anchor="middle">{{ text_x }}</text>
{% endfor %}
{% for name, colour, points in curves %}
<g fill="{{ colour }}">
<polyline points="{% for x, y in points %}{{ x }},{{ y }} {% endfor %}" fill="none" \
stroke="{{ colour }}" stroke-width="2"/>
{% for x, y in points %}
<circle cx="{{ x }}" cy="{{ y }}" r="3"/>
{% endfor %}
<text x="{{ 530 - 90 * loop.revindex0 }}" y="18" text-anchor="end">{{ name }}</text>
</g>
{% endfor %}
</svg>
"""


def chart(curves: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> str:
    """Draw curves, points (x, y) by name, on axes that begin at 0 and are named `across`, `up`."""
    widest = max(x for points in curves.values() for x, _ in points)
    highest = max(y for points in curves.values() for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = x / (widest or 1) * (RIGHT - LEFT), y / (highest or 1) * (BOTTOM - TOP)
        return round(LEFT + across, 2), round(BOTTOM - up, 2)

    quarters = [(widest * i / 4, highest * i / 4) for i in range(5)]
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(TEMPLATE).render(
        ticks=[(*place(x, y), f"{x:,.4g}", f"{y:,.4g}") for x, y in quarters],
        curves=[
            (name, colour, [place(*point) for point in points])
            for (name, points), colour in zip(curves.items(), COLOURS, strict=False)
        ],
        across=across,
        up=up,
    )
