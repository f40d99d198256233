import pytest


@pytest.fixture(autouse=True, scope="session")
def own_compilation_cache(tmp_path_factory):
    """Neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFTOPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write input.toml in an empty folder that becomes the current one; returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(keys: str = "", structure: str = '[structure]\nbulk = "Si"\na = 5.43') -> str:
        (tmp_path / "input.toml").write_text(f"{keys}\n{structure}\n")
        return "input.toml"

    return write
