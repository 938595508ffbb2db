from __future__ import annotations

import numpy as np
import pytest
import torch

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import draw
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.imaging.personal import lora
from zipp_dagster.imaging.personal.base import Fitted, History, encode_images
from zipp_dagster.imaging.personal.drum import Drum, DrumAdapter, coreset, train_adapter
from zipp_dagster.imaging.personal.fabric import Fabric
from zipp_dagster.imaging.personal.lora import Lora, fingerprint
from zipp_dagster.imaging.personal.text_states import text_states
from zipp_dagster.imaging.personal.viper import Viper, attributes
from zipp_dagster.imaging.pipelines import load_pipeline

SETTINGS = ImagingSettings(device="cpu", dtype="float32", steps=3, image_size=16, batch_size=2)
PIXELS = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3)).astype(np.uint8)
HISTORY = History(
    liked_images=[encode_png(p) for p in PIXELS[:2]],
    liked_prompts=["a cat, neon colors", "an owl, neon colors"],
    disliked_images=[encode_png(p) for p in PIXELS[2:]],
    disliked_prompts=["a tree, muted gray", "a car, muted gray"],
)
PROMPTS, SEEDS = ["a fish", "a castle", "a cat"], [1, 2, 3]


@pytest.fixture(scope="module")
def sd(sd_directory):
    return load_pipeline(sd_directory, None, SETTINGS)


@pytest.fixture(scope="module")
def sdxl(sdxl_directory):
    return load_pipeline(sdxl_directory, None, SETTINGS)


def adapter_for(loaded, steps=4):
    groups = [["a cat, neon colors", "an owl, neon colors", "a tree, neon colors"]]
    return train_adapter(loaded, groups, steps=steps, batch=2, references=2)


def methods(loaded):
    return [Fabric(), Viper(), Drum(adapter_for(loaded)[0]), Lora(rank=2, steps=4, batch=2)]


@pytest.mark.parametrize("which", ["sd", "sdxl"])
def test_every_method_changes_the_images_and_leaves_the_pipeline_as_it_was(which, request):
    loaded = request.getfixturevalue(which)
    before = draw(loaded, PROMPTS, SEEDS, SETTINGS)
    for method in methods(loaded):
        fitted = method.fit(loaded, HISTORY, SETTINGS)
        images = method.draw(loaded, fitted, PROMPTS, SEEDS, SETTINGS)
        assert (images.shape, images.dtype) == ((3, 16, 16, 3), np.uint8), method.name
        assert (images != before).any(), method.name
        assert fitted.cpu_seconds > 0, method.name
        again = draw(loaded, PROMPTS, SEEDS, SETTINGS)
        assert (again == before).all(), method.name


def test_a_users_images_do_not_depend_on_their_batch(sd):
    one = SETTINGS.model_copy(update={"batch_size": 1})
    for method in methods(sd):
        fitted = method.fit(sd, HISTORY, SETTINGS)
        together = method.draw(sd, fitted, PROMPTS, SEEDS, SETTINGS).astype(int)
        alone = method.draw(sd, fitted, PROMPTS, SEEDS, one)
        assert np.abs(together - alone).max() <= 1, method.name


def test_fabric_without_any_weight_on_the_memory_is_the_plain_model(sd):
    before = draw(sd, PROMPTS[:2], SEEDS[:2], SETTINGS).astype(int)
    faint = Fabric(weight=1e-12)
    fitted = faint.fit(sd, HISTORY, SETTINGS)
    assert np.abs(faint.draw(sd, fitted, PROMPTS[:2], SEEDS[:2], SETTINGS) - before).max() <= 1


def test_fabric_feeds_for_the_first_share_of_the_steps_alone(sd, monkeypatch):
    calls = []
    plain = type(sd.pipeline.unet).forward

    def counted(self, sample, *args, **given):
        calls.append(len(sample))
        return plain(self, sample, *args, **given)

    monkeypatch.setattr(type(sd.pipeline.unet), "forward", counted)
    settings = SETTINGS.model_copy(update={"steps": 5})
    method = Fabric(active=0.6)
    fitted = method.fit(sd, History(liked_images=HISTORY.liked_images), settings)
    method.draw(sd, fitted, PROMPTS[:1], SEEDS[:1], settings)
    # Each of the three active steps first runs the two liked images; guidance rests after the first.
    assert calls == [2, 2, 2, 1, 2, 1, 1, 2]


def test_fabric_keeps_branches_apart(sd):
    liked = Fabric().fit(sd, History(liked_images=HISTORY.liked_images), SETTINGS)
    disliked = Fabric().fit(sd, History(disliked_images=HISTORY.liked_images), SETTINGS)
    one, other = (Fabric().draw(sd, f, PROMPTS, SEEDS, SETTINGS) for f in (liked, disliked))
    assert (one != other).any()


def test_a_transformer_is_no_unet(flux_directory):
    flux = load_pipeline(flux_directory, None, SETTINGS)
    for method in (Fabric(), Lora()):
        with pytest.raises(ValueError, match="FluxPipeline has a transformer"):
            method.fit(flux, HISTORY, SETTINGS)
    with pytest.raises(ValueError, match="no unconditional branch"):
        Viper().fit(flux, HISTORY, SETTINGS)


def test_viper_works_on_a_transformer_with_an_unconditional_branch(sd3_directory):
    sd3 = load_pipeline(sd3_directory, None, SETTINGS)
    fitted = Viper().fit(sd3, HISTORY, SETTINGS)
    images = Viper().draw(sd3, fitted, PROMPTS[:1], SEEDS[:1], SETTINGS)
    assert (images != draw(sd3, PROMPTS[:1], SEEDS[:1], SETTINGS)).any()


def test_attributes_are_what_recurs_and_the_opposite_does_not_share():
    liked = ["a cat, neon, ink", "an owl, neon, ink", "a fish, neon, mist", "a car, fog"]
    disliked = ["a cat, ink", "a dog, ink"]
    assert attributes(liked, disliked) == ["neon"]
    assert attributes(liked) == ["neon", "ink"]
    assert attributes(["a cat, neon"]) == ["a cat", "neon"]


def test_viper_adds_the_same_vector_to_every_prompt(sd):
    method = Viper(strength=0.5)
    taste = method.fit(sd, HISTORY, SETTINGS).state
    assert (taste.liked, taste.disliked) == (["neon colors"], ["muted gray"])
    states = text_states(sd, PROMPTS)
    moved = method.move(states, taste)
    expected = 0.5 * text_states(sd, ["neon colors"]).prompt
    assert torch.allclose(
        moved.prompt - states.prompt, expected.expand_as(states.prompt), atol=1e-5
    )
    expected = 0.5 * text_states(sd, ["muted gray"]).prompt
    assert torch.allclose(
        moved.negative - states.negative, expected.expand_as(moved.negative), atol=1e-5
    )


def test_the_adapter_starts_as_the_identity_and_learns(sd):
    states = text_states(sd, PROMPTS).prompt
    adapter = DrumAdapter(states.shape[-1])
    assert torch.equal(adapter(states, states), states)
    _, losses = adapter_for(sd, steps=30)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_the_adapter_survives_its_file(sd, tmp_path):
    adapter, _ = adapter_for(sd)
    adapter.save(tmp_path / "adapter.safetensors")
    states = text_states(sd, PROMPTS).prompt
    again = DrumAdapter.load(tmp_path / "adapter.safetensors")
    assert torch.equal(adapter(states, states), again(states, states))


def test_an_adapter_of_another_encoder_is_refused(sd):
    with pytest.raises(ValueError, match="width 8"):
        Drum(DrumAdapter(8)).fit(sd, HISTORY, SETTINGS)


def test_the_coreset_spreads_over_what_there_is():
    points = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [0.0, 9.0], [0.0, 8.9]])
    assert coreset(points, 3) == [1, 3, 2]
    assert coreset(points, 9) == [0, 1, 2, 3, 4]


def test_lora_trains_its_own_weights_and_none_of_the_models(sd):
    before = {k: v.clone() for k, v in sd.pipeline.unet.state_dict().items()}
    method = Lora(rank=2, steps=3, batch=2)
    fitted = method.fit(sd, HISTORY, SETTINGS)
    after = sd.pipeline.unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert fitted.numbers["parameters"] > 0
    assert any(float(w.abs().max()) > 0 for n, w in fitted.state.weights.items() if "lora_B" in n)


def test_the_same_history_and_seed_give_the_same_weights(sd):
    method = Lora(rank=2, steps=3, batch=2)
    prints = [fingerprint(method.fit(sd, HISTORY, SETTINGS, seed).state) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_histories_that_lack_what_a_method_needs_are_errors(sd):
    nothing = History()
    for method in (Fabric(), Viper(), Drum(adapter_for(sd)[0]), Lora()):
        with pytest.raises(ValueError, match=method.name):
            method.fit(sd, nothing, SETTINGS)
    uneven = History(liked_images=HISTORY.liked_images, liked_prompts=["one"])
    with pytest.raises(ValueError, match="2 liked images and 1 prompts"):
        Lora().fit(sd, uneven, SETTINGS)


def test_a_fit_says_what_it_cost():
    fitted = Fitted("state", 1.5, 1.2)
    assert (fitted.seconds, fitted.cpu_seconds, fitted.numbers) == (1.5, 1.2, {})


@pytest.fixture
def half(sdxl_directory):
    """A pipeline of SDXL's class in a short precision, as on an accelerator."""

    def load(dtype):
        loaded = load_pipeline(sdxl_directory, None, SETTINGS)
        loaded.pipeline.to(dtype)
        return loaded

    return load


def test_a_vae_that_overflows_in_float16_encodes_in_float32(half):
    loaded = half(torch.float16)
    vae = loaded.pipeline.vae
    with torch.no_grad():  # sums of the first layer are beyond 65504 now; the next one normalises
        vae.encoder.conv_in.weight.mul_(3e5)
    batch = torch.ones(1, 3, 16, 16, dtype=torch.float16)
    assert not vae.encode(batch).latent_dist.mean.isfinite().all()
    latents = encode_images(loaded, HISTORY.liked_images, SETTINGS)
    assert latents.isfinite().all() and latents.shape[:2] == (2, 4)
    assert {p.dtype for p in vae.parameters()} == {torch.float16}
    vae.register_to_config(force_upcast=False)
    with pytest.raises(FloatingPointError, match="imaging.dtype=float32"):
        encode_images(loaded, HISTORY.liked_images, SETTINGS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lora_trains_in_float32_whatever_the_generator_is_in(half, dtype):
    loaded = half(dtype)
    before = draw(loaded, PROMPTS[:2], SEEDS[:2], SETTINGS)
    method = Lora(rank=2, steps=4, batch=2)
    fitted = method.fit(loaded, HISTORY, SETTINGS)
    weights = fitted.state.weights
    assert {w.dtype for w in weights.values()} == {torch.float32}
    assert all(w.isfinite().all() for w in weights.values())
    assert any(float(w.abs().max()) > 0 for n, w in weights.items() if "lora_B" in n)
    assert {p.dtype for p in loaded.pipeline.unet.parameters()} == {dtype}
    images = method.draw(loaded, fitted, PROMPTS[:2], SEEDS[:2], SETTINGS)
    assert (images != before).any()
    assert (draw(loaded, PROMPTS[:2], SEEDS[:2], SETTINGS) == before).all()


def test_lora_in_float16_learns_what_it_learns_in_float32(half, sdxl):
    method = Lora(rank=2, steps=6, batch=2)
    short, whole = (
        method.fit(loaded, HISTORY, SETTINGS).state.weights
        for loaded in (half(torch.float16), sdxl)
    )
    moved = torch.cat([w.flatten() for n, w in sorted(short.items()) if "lora_B" in n])
    wanted = torch.cat([w.flatten() for n, w in sorted(whole.items()) if "lora_B" in n])
    assert torch.nn.functional.cosine_similarity(moved, wanted, dim=0) > 0.9


def test_a_loss_that_is_no_number_is_an_error(half):
    loaded = half(torch.float16)
    with torch.no_grad():
        loaded.pipeline.unet.conv_out.bias.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="loss of inf in step 1"):
        Lora(rank=2, steps=2, batch=2).fit(loaded, HISTORY, SETTINGS)


def test_fabric_draws_from_a_generator_in_float16(half):
    loaded = half(torch.float16)
    fitted = Fabric().fit(loaded, HISTORY, SETTINGS)
    images = Fabric().draw(loaded, fitted, PROMPTS[:1], SEEDS[:1], SETTINGS)
    assert (images != draw(loaded, PROMPTS[:1], SEEDS[:1], SETTINGS)).any()


@pytest.mark.parametrize("dtype", ["float32", "autocast", "bfloat16"])
@pytest.mark.parametrize("which", ["sd", "sdxl", "sd3"])
def test_unchanged_states_draw_what_the_prompt_draws(which, dtype, request):
    directory = request.getfixturevalue(f"{which}_directory")
    kind = "bfloat16" if dtype == "autocast" else "float32"
    loaded = load_pipeline(directory, None, SETTINGS.model_copy(update={"dtype": kind}))
    if dtype == "bfloat16":
        loaded.pipeline.to(torch.bfloat16)
    given = text_states(loaded, PROMPTS).arguments(loaded)
    plain = draw(loaded, PROMPTS, SEEDS, SETTINGS)
    assert (draw(loaded, PROMPTS, SEEDS, SETTINGS, given) == plain).all()


@pytest.mark.parametrize("which", ["sd", "sdxl", "sd3"])
def test_methods_on_text_states_keep_the_unconditional_branch(which, request):
    loaded = load_pipeline(request.getfixturevalue(f"{which}_directory"), None, SETTINGS)
    plain = draw(loaded, PROMPTS, SEEDS, SETTINGS)
    liked = History(liked_prompts=HISTORY.liked_prompts)
    for method in (Viper(strength=0.0), Drum(adapter_for(loaded, steps=0)[0])):
        fitted = method.fit(loaded, liked, SETTINGS)
        images = method.draw(loaded, fitted, PROMPTS, SEEDS, SETTINGS).astype(int)
        assert np.abs(images - plain).max() <= 1, method.name


def test_a_lora_s_empty_captions_are_what_drawing_has_for_the_unconditional_branch(sdxl):
    states = text_states(sdxl, PROMPTS)
    assert not states.negative.any() and not states.negative_pooled.any()
    rows, empty = torch.tensor([0, 2]), torch.tensor([True, False])
    shown, pooled = lora._captions(states, rows, empty)
    assert not shown[0].any() and torch.equal(shown[1], states.prompt[2])
    assert not pooled[0].any() and torch.equal(pooled[1], states.pooled[2])


def too_large(monkeypatch, owner, name, rows, largest):
    """Has a method run out of memory where its argument has more than `largest` rows."""
    plain, calls = getattr(owner, name), []

    def bounded(self, batch, *args, **given):
        calls.append(rows(batch))
        if rows(batch) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, batch, *args, **given)

    monkeypatch.setattr(owner, name, bounded)
    return calls


def test_images_are_encoded_in_parts(sd, monkeypatch):
    whole = encode_images(sd, [encode_png(p) for p in PIXELS], SETTINGS)
    calls = too_large(monkeypatch, type(sd.pipeline.vae), "encode", len, 1)
    parts = encode_images(sd, [encode_png(p) for p in PIXELS], SETTINGS)
    assert torch.allclose(parts, whole, atol=1e-5) and calls == [2, 1, 1, 1, 1]
    with monkeypatch.context() as patch, pytest.raises(MemoryError, match="one image"):
        too_large(patch, type(sd.pipeline.vae), "encode", len, 0)
        encode_images(sd, HISTORY.liked_images, SETTINGS)


def test_a_person_s_pictures_are_drawn_in_halves_where_they_do_not_fit(sd, monkeypatch):
    fabric = Fabric()
    fitted = fabric.fit(sd, HISTORY, SETTINGS)
    whole = fabric.draw(sd, fitted, PROMPTS, SEEDS, SETTINGS).astype(int)
    calls = too_large(monkeypatch, type(sd.pipeline.unet), "forward", len, 2)
    parts = fabric.draw(sd, fitted, PROMPTS, SEEDS, SETTINGS)
    assert np.abs(parts - whole).max() <= 1 and max(calls) == 4


def test_what_a_lora_learns_does_not_depend_on_what_fits_into_memory(sdxl, monkeypatch):
    method = Lora(rank=2, steps=4, batch=4)
    whole = method.fit(sdxl, HISTORY, SETTINGS).state.weights
    calls = too_large(monkeypatch, type(sdxl.pipeline.unet), "forward", len, 1)
    parts = method.fit(sdxl, HISTORY, SETTINGS).state.weights
    assert calls == [4, 2] + 16 * [1]
    assert all(torch.allclose(parts[name], whole[name], atol=1e-4) for name in whole)
    assert not sdxl.pipeline.unet.training


def test_a_lora_is_trained_on_the_newest_pictures_alone(sd):
    newest = History(HISTORY.liked_images[:1], HISTORY.liked_prompts[:1])
    one, same = (
        Lora(rank=2, steps=3, batch=2, images=1).fit(sd, history, SETTINGS).state
        for history in (HISTORY, newest)
    )
    assert fingerprint(one) == fingerprint(same)


def test_a_large_denoiser_is_trained_with_gradient_checkpointing(sdxl, monkeypatch):
    unet, seen = sdxl.pipeline.unet, []
    plain = type(unet).forward

    def watched(self, *args, **given):
        seen.append(self.is_gradient_checkpointing)
        return plain(self, *args, **given)

    method = Lora(rank=2, steps=3, batch=2)
    without = method.fit(sdxl, HISTORY, SETTINGS).state.weights
    monkeypatch.setattr(type(unet), "forward", watched)
    monkeypatch.setattr(lora, "is_small", lambda loaded: False)
    within = method.fit(sdxl, HISTORY, SETTINGS).state.weights
    assert seen == [True] * 3 and not unet.is_gradient_checkpointing
    assert all(torch.allclose(within[name], without[name], atol=1e-6) for name in without)
