"""A table with very many columns is read like any other."""

import pandas as pd

from bus_lightning.core.csv_files import read_table, write_csv


def test_a_column_can_be_added_to_a_table_of_very_many_without_a_warning(tmp_path):
    names = {f"note {number}": ["a"] if number % 2 else [0.5] for number in range(300)}
    write_csv(pd.DataFrame({"id": ["=1"], **names}), tmp_path / "cases.csv")
    table = read_table(tmp_path / "cases.csv", needed=["id"], text=["id"])
    assert table.assign(group=1).loc[0, ["id", "note 0", "group"]].tolist() == ["=1", 0.5, 1]
