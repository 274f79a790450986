"""Declaration of `gan _identity`, the question that `gan lineage` and `gan reproduce` ask."""

from typing import Annotated

import typer

from pipeline.cli.entry import PARAMS, ParamsFile, here, read


def identity(
    params: ParamsFile = PARAMS,
    code_only: Annotated[
        bool, typer.Option("--code-only", help="Only the code's digest; needs no cache/.")
    ] = False,
) -> None:
    """Print the identity of the training that this checkout would run.

    One JSON object: run_key, identity and code_digest. With --code-only the first two are null.
    """
    import json

    from pipeline.runs.identity import digest_of_code, identity_of_training

    answer = digest_of_code() if code_only else identity_of_training(read(params), here())
    typer.echo(json.dumps(answer))
