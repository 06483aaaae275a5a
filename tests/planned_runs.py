"""What the tests of protocols and results share: a protocol's file, and the cases of a fold."""


def write_protocol(folder, block, name="protocol.md"):
    """Write a protocol with these fields and return its path."""
    file = folder / name
    file.write_text(f"# Protocol\n\nText.\n\n```yaml protocol\n{block}```\n\nMore text.\n")
    return file


def cases_of_fold(cases, fold):
    """Return the cases without the test images of other folds, each of which tests twenty."""
    tested = cases.index[cases["split"] == "test"]
    return cases.drop(index=[row for k, row in enumerate(tested) if k // 20 != fold])
