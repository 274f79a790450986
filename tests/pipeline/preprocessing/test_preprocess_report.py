"""Summary line of preprocess: its numbers add up."""

from preprocess_inputs import assert_counts_add_up, numbers_in

from pipeline.preprocessing.report import PreprocessSummary, describe_summary


def summary(without_face, faces_rejected, more_faces):
    """A summary with another power of two for each reason to leave pictures or faces out."""
    kept_and_alike = {
        "filtered": 64,
        "duplicate_pixels": 128,
        "near_duplicates": 256,
        "train": 1024,
        "holdout": 512,
    }
    faces_found = sum(kept_and_alike.values()) + faces_rejected
    pictures = faces_found - more_faces + without_face
    rejects = {"any": 2 + 4 + without_face + faces_rejected + 64}
    return PreprocessSummary(
        rows=1 + 2 + 4 + pictures + 2048,
        without_image={"gone": 2048},
        read=1 + 2 + 4 + pictures,
        duplicate_files=1,
        bad=2,
        refused=4,
        pictures=pictures,
        without_face=without_face,
        faces_found=faces_found,
        faces_rejected=faces_rejected,
        **kept_and_alike,
        upscaled=7,
        rejects=rejects,
        statistics={},
        digest="",
    )


def test_pictures_add_up():
    of_pictures = summary(without_face=0, faces_rejected=0, more_faces=0)
    assert_counts_add_up(of_pictures)
    total, kept, *_ = numbers_in(describe_summary(of_pictures, faces=False))
    assert (total, kept) == (1991, 1536)


def test_pictures_and_faces_add_up():
    of_faces = summary(without_face=8, faces_rejected=16, more_faces=100)
    assert_counts_add_up(of_faces, faces=True)
    pictures, faces = describe_summary(of_faces, faces=True).split(". ")
    assert numbers_in(pictures)[:2] == [1915, 1900]
    assert numbers_in(faces)[:2] == [2000, 1536]
