"""How a crawl words what it tells a person."""


def counted(number: int, noun: str) -> str:
    """Such as `1 sidecar` or `7 sidecars`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
