import json

from graftwork.files import write_json


def test_a_path_that_is_no_text_is_written_and_read_back(tmp_path):
    settings = {"data": "/images/a\udcff", "猫": "ü"}
    write_json(tmp_path / "settings.json", settings)
    text = (tmp_path / "settings.json").read_text(encoding="utf-8")
    assert json.loads(text) == settings
    assert "猫" in text  # what is text stays readable
