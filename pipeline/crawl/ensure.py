"""data/ as source.yaml and data.dvc say: kept, restored by DVC or drawn again, never crawled."""

from pathlib import Path

from gan.errors import GanError
from pipeline.console import warn
from pipeline.crawl.build import BuiltDataset, build_dataset
from pipeline.crawl.data_folder import DataFolder, open_verified
from pipeline.crawl.embedded import Embedded
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.dataset.dvc_md5 import directory_md5
from pipeline.dataset.reader import Dataset
from pipeline.dataset.source_file import is_embedded, read_source


def ensure_dataset(folder: DataFolder) -> BuiltDataset:
    """Keep, restore or draw the dataset that source.yaml describes.

    Raises GanError where it can't be had without asking a stranger's server again, or where a
    crawl in data/ is not what data.dvc pins.
    """
    source_file = folder.paths.source
    wanted, fetched = read_source(source_file), 0
    dataset, problem = open_verified(folder.paths.data)
    if (dataset is None or dataset.source != wanted) and folder.restore():
        dataset, problem = open_verified(folder.paths.data)
    if dataset is None or dataset.source != wanted:
        if not is_embedded(wanted):
            raise GanError(_describe_unavailable(str(wanted["source"]), source_file, problem))
        gallery = Embedded.parse(wanted, source_file)
        dataset, fetched = build_dataset(gallery, folder, EarlierCrawl())
    _compare_with_pin(dataset, folder)
    folder.write_receipt(dataset)
    return BuiltDataset(dataset, fetched)


def _compare_with_pin(dataset: Dataset, folder: DataFolder) -> None:
    """Refuse a crawl that data.dvc doesn't pin; warn of a gallery that DVC would pin anew."""
    found, pinned = directory_md5(folder.paths.data), folder.pin.md5
    if not pinned or found == pinned:
        return
    differs = f"data/ (md5 {found}) is not what data.dvc pins ({pinned})"
    if not is_embedded(dataset.source):
        raise GanError(f"{differs}; `dvc add data` pins it, `dvc checkout data.dvc` undoes it")
    warn(f"{differs}: `dvc repro` will change data.dvc")


def _describe_unavailable(source: str, source_file: Path, problem: str) -> str:
    problem = problem or f"data/ is of another source than {source_file.name} says"
    return (
        f"{problem}. {source} is a pinned crawl, never repeated by itself: `dvc pull data.dvc` "
        f"from a remote that has it, or `gan scrape --source …` to replace it"
    )
