"""No pickle is ever run: malicious checkpoints are refused wherever a model can be given."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
FOLDERS = ("zipp_dagster", "assets", "resources", "benchmarks")
WEIGHTS = (".bin", ".pt", ".ckpt")
UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
}
TOKENIZERS_AND_CONFIGS = ("Tokenizer", "Config", "Processor", "Scheduler", "T5Tokenizer")


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What exists once somebody has run the attack."""
    return tmp_path / "attacked"


@pytest.fixture
def poison(mark: Path) -> Callable[[Path, str], Path]:
    """Puts the attack in the place of all weights below a model's folder."""

    def make(model: Path, suffix: str) -> Path:
        names = {".bin": "pytorch_model", ".pt": "model", ".ckpt": "model"}
        weights = sorted(model.rglob("*.safetensors"))
        assert weights, "there is nothing to replace"
        for path in weights:
            diffusers = "diffusion" in path.name and suffix == ".bin"
            name = "diffusion_pytorch_model" if diffusers else names[suffix]
            torch.save({"weight": Attack(mark)}, path.with_name(name + suffix))
            path.unlink()
        return model

    return make


def test_the_attack_works_where_pickles_are_run(tmp_path, mark):
    torch.save({"weight": Attack(mark)}, tmp_path / "model.pt")
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert mark.is_dir()


def _clip(folder: Path) -> Path:
    from tests.imaging.tiny_models import tiny_clip

    return tiny_clip(folder)


def _generator(model: Path) -> object:
    from zipp_dagster.imaging.config import ImagingSettings
    from zipp_dagster.imaging.pipelines import load_pipeline

    return load_pipeline(model, None, ImagingSettings())


def _vision(model: Path) -> object:
    from zipp_dagster.imaging.encoders import load_vision_encoder

    return load_vision_encoder(model)


def _evaluation(model: Path) -> object:
    from zipp_dagster.imaging.encoders import load_evaluation_encoder

    return load_evaluation_encoder(model)


def _sentences(model: Path) -> object:
    from zipp_dagster.imaging.text_encoder import load_text_encoder

    return load_text_encoder(model, None)


def _language_model(model: Path) -> object:
    from zipp_dagster.persona.config import LanguageModelSettings
    from zipp_dagster.persona.transformers_model import TransformersModel

    return TransformersModel(LanguageModelSettings(kind="transformers", model=str(model)))


def _chat_judge(model: Path) -> object:
    from zipp_dagster.zipbench.config import JudgeSettings
    from zipp_dagster.zipbench.judges.vlm import VisionLanguageJudge

    return VisionLanguageJudge(str(model), JudgeSettings())


def _stored(model: Path) -> object:
    from zipp_dagster.imaging.stored_models import store_model

    out = model.parent / "out"
    out.mkdir(exist_ok=True)
    return store_model(model, None, out, setting="imaging.model", packaged=False)


def _sd(folder: Path) -> Path:
    from tests.imaging.tiny_models import tiny_sd

    return tiny_sd(folder)


def _text(folder: Path) -> Path:
    from tests.persona.tiny_models import tiny_language_model

    return tiny_language_model(folder)


def _image_text(folder: Path) -> Path:
    from tests.persona.tiny_models import tiny_image_text_model

    return tiny_image_text_model(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Callable[[Callable[[Path], Path]], Path]:
    """Tiny checkpoints, each made once."""
    made: dict[str, Path] = {}

    def get(build: Callable[[Path], Path]) -> Path:
        if build.__name__ not in made:
            made[build.__name__] = Path(build(tmp_path_factory.mktemp(build.__name__)))
        return made[build.__name__]

    return get


@pytest.mark.parametrize("suffix", WEIGHTS)
@pytest.mark.parametrize(
    ("build", "load"),
    [
        (_sd, _generator),
        (_sd, _stored),
        (_clip, _vision),
        (_clip, _evaluation),
        (_text, _sentences),
        (_text, _language_model),
        (_image_text, _language_model),
        (_image_text, _chat_judge),
    ],
    ids=["imaging.model", "kept copies", "imaging.vision_model", "imaging.evaluation_model",
         "imaging.text_model", "persona.language_model", "a language model that sees", "judge.model"],
)  # fmt: skip
def test_a_malicious_checkpoint_is_refused(models, poison, mark, tmp_path, build, load, suffix):
    healthy = models(build)
    load(healthy)  # the model itself can be loaded: what is refused below is the pickle
    copy = tmp_path / "model"
    shutil.copytree(healthy, copy)
    with pytest.raises((OSError, ValueError, RuntimeError)):
        load(poison(copy, suffix))
    assert not mark.exists()


@pytest.mark.parametrize("judge", ["hpsv2", "imagereward"])
def test_state_dicts_of_the_two_judges_are_read_as_tensors_and_nothing_else(tmp_path, mark, judge):
    import pickle

    from zipp_dagster.zipbench.config import JudgeSettings
    from zipp_dagster.zipbench.judges.hpsv2 import Hpsv2
    from zipp_dagster.zipbench.judges.imagereward import ImageReward

    file = tmp_path / "weights.pt"
    torch.save({"weight": Attack(mark)}, file)
    with pytest.raises((pickle.UnpicklingError, OSError, ValueError)):
        {"hpsv2": Hpsv2, "imagereward": ImageReward}[judge](str(file), JudgeSettings())
    assert not mark.exists()


def test_no_code_of_ours_can_run_a_pickle():
    faults, seen = [], 0
    for path in (p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            seen += isinstance(node, ast.Call)
            faults += [f"{path.relative_to(ROOT)}:{node.lineno}: {why}" for why in _unsafe(node)]
    assert seen > 1000 and faults == []


def _unsafe(node: ast.AST) -> list[str]:
    """Why a piece of syntax could run a pickle, or foreign code."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = {getattr(node, "module", None) or ""} | {alias.name for alias in node.names}
        return [f"imports {name}" for name in sorted(names & UNSAFE_MODULES)]
    if not isinstance(node, ast.Call):
        return []
    name = ast.unparse(node.func)
    options = {k.arg: ast.unparse(k.value) for k in node.keywords if k.arg}
    found = [f"{name} with {k}=True" for k in ("allow_pickle", "trust_remote_code")
             if options.get(k) == "True"]  # fmt: skip
    if name == "torch.load" and options.get("weights_only") != "True":
        found.append("torch.load without weights_only=True")
    if name in ("np.load", "numpy.load") and options.get("allow_pickle", "False") != "False":
        found.append("np.load that allows pickles")
    if name.endswith((".read_pickle", ".load_pickle", "mlflow.pytorch.load_model")):
        found.append(name)
    if name.endswith(".from_pretrained") and options.get("use_safetensors") != "True":
        kind = name.removesuffix(".from_pretrained")
        if not kind.endswith(TOKENIZERS_AND_CONFIGS):
            found.append(f"{name} without use_safetensors=True")
    return found


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("import pickle", 1),
        ("from joblib import load", 1),
        ("torch.load(p)", 1),
        ("torch.load(p, weights_only=True)", 0),
        ("np.load(p, allow_pickle=True)", 2),
        ("np.load(p)", 0),
        ("AutoModel.from_pretrained(p)", 1),
        ("AutoModel.from_pretrained(p, use_safetensors=True)", 0),
        ("AutoTokenizer.from_pretrained(p)", 0),
        ("AutoTokenizer.from_pretrained(p, trust_remote_code=True)", 1),
    ],
)
def test_the_search_for_pickles_finds_planted_ones(source, faults):
    nodes = list(ast.walk(ast.parse(source)))
    assert sum(len(_unsafe(node)) for node in nodes) == faults
