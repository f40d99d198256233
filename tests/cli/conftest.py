import pytest


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write input.toml in an empty folder that becomes the current one; returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(keys: str = "", structure: str = '[structure]\nbulk = "Si"\na = 5.43') -> str:
        (tmp_path / "input.toml").write_text(f"{keys}\n{structure}\n")
        return "input.toml"

    return write
