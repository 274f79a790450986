"""The losses.tsv of a training: one line a log, columns sorted by name."""

from pathlib import Path

from gan.atomic import write_atomically


class LossTable:
    """Losses by images seen; equal numbers give equal bytes."""

    def __init__(self, path: Path, until: int) -> None:
        """Read the lines of an earlier session up to `until` images seen; drop later ones."""
        self.path = path
        self.rows: list[tuple[int, dict[str, float]]] = []
        if path.is_file():
            header, *lines = path.read_text(encoding="utf-8").splitlines()
            names = header.split("\t")[1:]
            for line in lines:
                seen, *values = line.split("\t")
                if int(seen) <= until:
                    known = [pair for pair in zip(names, values, strict=True) if pair[1]]
                    self.rows.append((int(seen), {name: float(v) for name, v in known}))

    def save(self) -> None:
        """Write the whole table; its header alone where nothing was measured."""
        names = sorted({name for _, values in self.rows for name in values})
        lines = ["\t".join(["images_seen", *names])]
        for seen, values in self.rows:
            cells = (f"{values[name]:.6g}" if name in values else "" for name in names)
            lines.append("\t".join([str(seen), *cells]))
        write_atomically(self.path, "\n".join(lines) + "\n")
