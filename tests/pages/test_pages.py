"""Pages about networks: what stands in them, and how a browser shows them."""

import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from keras_staa import insight, streaming, zoo
from keras_staa.cli import main
from keras_staa.pages import look_at, write_gallery, write_page
from tests.zoo.support import registered, saved, tiny

pytestmark = pytest.mark.once

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
# Asks the page itself, when all of it is there.
PROBE = """<script>
window.onload = () => {
  const images = [...document.images];
  document.body.innerHTML = "<pre id=found>" + JSON.stringify({
    drawn: images.map(image => image.complete && image.naturalWidth > 50),
    wider: document.documentElement.scrollWidth - window.innerWidth,
    reached: [...document.querySelectorAll("a[href], summary, [tabindex='0']")].length,
    outside: performance.getEntriesByType("resource").length,
  }) + "</pre>";
};
</script>"""


class Page(html.parser.HTMLParser):
    """What a page is made of: (tag, attributes) in order, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    def of(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Presets for images and for frames, with labeled images."""
    with pytest.MonkeyPatch.context() as patch:
        registered(patch)
        made = tmp_path_factory.mktemp("pages")
        saved(made / "images", tiny(steps=3))
        saved(made / "frames", tiny(input_shape=(4, 16, 16, 2), steps=4))
        saved(made / "single", tiny(attention=False))
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (30, 16, 16, 3), dtype="uint8")
        labels = np.arange(30) % 3
        train = {"x_train": images, "y_train": labels}
        np.savez(made / "data.npz", **train, x_test=images, y_test=labels)
        yield made


@pytest.fixture(scope="module")
def found(folder):
    with_data = look_at(str(folder / "images"), str(folder / "data.npz"), samples=20, verbose=0)
    names = ("images", "frames", "single")
    others = {name: look_at(str(folder / name), verbose=0) for name in names}
    return {"with data": with_data, **others}


@pytest.fixture(scope="module")
def pages(found, tmp_path_factory):
    """Paths of pages, by name."""
    made = tmp_path_factory.mktemp("html")
    paths = {name: made / f"{name}.html" for name in found}
    for name, one in found.items():
        write_page(one, paths[name])
    return paths


NAMES = ("with data", "images", "frames", "single")
SECTIONS = {
    "with data": ["samples", "energy", "firing", "attention", "steps", "confusion", "training"],
    "images": ["samples", "energy", "firing", "attention", "steps", "training"],
    "frames": ["samples", "energy", "firing", "attention", "steps", "training"],
    "single": ["samples", "energy", "firing", "training"],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole_and_needs_nothing_else(name, pages):
    text = pages[name].read_text("utf-8")
    page = Page(text)
    assert len(text.encode()) < 3_000_000
    assert not [a for _, a in page.tags if str(a.get("src", "data:")).partition(":")[0] != "data"]
    assert not re.search(r"https?://|@import|url\(", text)
    assert all(a["href"].startswith(("#", "data:")) for tag, a in page.tags if "href" in a)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.of("a")} <= set(ids)
    assert [i for i in ids if i != "content"] == [s for s in SECTIONS[name] if s in ids]
    expected = [s for s in SECTIONS[name] if s != "training"]
    assert [i for i in ids if i not in ("content", "training")] == expected


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_texts_and_tables_have_heads(name, pages):
    page = Page(pages[name].read_text("utf-8"))
    alts = [a["alt"] for a in page.of("img")]
    assert len(alts) >= 4 and all(len(alt) > 30 for alt in alts)
    assert len(page.of("figcaption")) == len(alts)
    assert all(a.get("scope") in ("col", "row") for a in page.of("th"))
    assert page.of("html") == [{"lang": "en"}] and len(page.of("h1")) == 1
    # What scrolls can be scrolled by keys, and says what it is.
    scrolls = [a for a in page.of("div") if a.get("class") == "scroll"]
    assert scrolls and all(a["tabindex"] == "0" and a["aria-label"] for a in scrolls)


def test_numbers_are_those_of_the_library(folder, found, pages):
    one, words = found["with data"], Page(pages["with data"].read_text("utf-8")).words()
    report = one.report
    assert f"{report.energy:.4f} mJ" in words and f"{report.ratio:.2%}" in words
    assert f"firing rate {report.firing_rate:.2%}" in words
    assert "20 samples of the test split of noise, drawn at random" in words
    accuracy = (one.evaluation.labels == one.evaluation.guesses).mean()
    assert f"accuracy here, 20 samples {accuracy:.2%}" in words
    assert one.by_step.shape == (3, 4) and len(one.accuracy_by_step) == 3
    x = one.inputs
    model = zoo.load(str(folder / "images"))
    np.testing.assert_allclose(one.probabilities, model.predict(x, verbose=0), atol=1e-6)
    stepper = streaming.Stepper(zoo.load(str(folder / "images"), causal=True))
    first = np.asarray(stepper.step(x, stepper.initial_state(4))[0])
    last = one.by_step[-1]
    assert first.shape == (4, 3) and last.max() <= 1
    with_memory = insight.report(model, _all(folder), memory=True, verbose=0)
    assert one.memory_ratio == pytest.approx(with_memory.ratio, rel=0.05)


def _all(folder):
    with np.load(folder / "data.npz") as held:
        return held["x_test"].astype("float32") / 255


def test_without_data_it_is_said_what_the_samples_are(found, pages):
    words = Page(pages["images"].read_text("utf-8")).words()
    assert "four freely licensed pictures that scikit-image ships" in words
    assert found["images"].inputs.shape == (4, 16, 16, 3)
    frames = Page(pages["frames"].read_text("utf-8")).words()
    assert "moved in front of a simulated event camera" in frames
    counts = found["frames"].inputs
    assert counts.shape == (4, 4, 16, 16, 2) and counts.min() >= 0
    assert (counts == counts.round()).all() and counts.any(axis=(0, 2, 3)).all()


def shown(path, width, height, tmp_path):
    """Let a browser show a page, and return what it finds and what it complains of."""
    copy = tmp_path / "copy.html"
    copy.write_text(path.read_text("utf-8").replace("</body>", PROBE + "</body>"), "utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}",
         "--virtual-time-budget=5000", "--dump-dom", copy.as_uri()],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(re.search(r"<pre id=\"found\">(.*?)</pre>", done.stdout)[1]), complaints


@pytest.mark.skipif(BROWSER is None, reason="There is no Chromium.")
@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("name", ["with data", "frames"])
def test_a_browser_shows_all_of_it(name, width, pages, tmp_path):
    drawn, complaints = shown(pages[name], width, 800, tmp_path)
    assert not complaints
    assert len(drawn["drawn"]) >= 6 and all(drawn["drawn"])
    assert drawn["wider"] <= 0, "the page scrolls to the side"
    assert drawn["outside"] == 0
    assert drawn["reached"] >= 8


def test_a_gallery_has_a_page_for_each_network(found, tmp_path):
    every = [found["images"], found["frames"]]
    write_gallery(every, tmp_path / "gallery")
    names = sorted(path.name for path in (tmp_path / "gallery").iterdir())
    assert names == sorted({f"{one.preset.name}.html" for one in every} | {"index.html"})
    index = Page((tmp_path / "gallery" / "index.html").read_text("utf-8"))
    links = [a["href"] for a in index.of("a") if not a["href"].startswith("#")]
    assert links == [f"{one.preset.name}.html" for one in every]
    assert all(len(a["alt"]) > 30 for a in index.of("img")) and len(index.of("img")) == 2


def test_command(folder, tmp_path, monkeypatch, capsys):
    registered(monkeypatch)
    out = tmp_path / "a.html"
    data = ["--data", f"noise={folder / 'data.npz'}", "--samples", "9"]
    assert main(["report", str(folder / "images"), "--out", str(out), *data]) == 0
    assert "9 samples of the test split" in Page(out.read_text("utf-8")).words()
    assert str(out) in capsys.readouterr().out
    for given, message in (
        (["--out", str(out)], "`models` must be given"),
        (["a", "--all", "--out", str(out)], "`models` must be given, or --all"),
        (["cifar10", "cifar100", "--out", str(out)], "`out` must be a folder for several"),
        (["cifra10", "--out", str(out)], "cifra10"),
        (["cifar10", "--out", str(out), "--samples", "0"], "`samples` must be a positive"),
    ):
        assert main(["report", *given]) == 1
        assert message in capsys.readouterr().err


def test_bad_input(found, tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end in \.html. Received: .*a\.pdf"):
        write_page(found["single"], tmp_path / "a.pdf")
    with pytest.raises(ValueError, match="`every` must have networks of different names"):
        write_gallery([found["single"], found["single"]], tmp_path / "gallery")
    assert not list(tmp_path.iterdir())
