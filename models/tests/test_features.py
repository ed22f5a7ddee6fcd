"""The training code of features: contexts, boxes, and the shipped bundle."""
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models/features"))
BUNDLE = ROOT / "models/bundles/text-features"


def contexts_one_by_one(y):
    """The decisions of docs/features.md, Latents, in its words and order."""
    import itertools
    h, w, channels = y.shape
    at = lambda r, c, k: int(y[r, c, k]) if 0 <= r and 0 <= c < w else 0
    some = lambda r, c: 0 <= r and 0 <= c < w and bool((y[r, c] != 0).any())
    for r, c in itertools.product(range(h), range(w)):
        yield some(r, c - 1) + 2 * some(r - 1, c) + 4 * some(r - 1, c + 1), some(r, c)
        if not some(r, c):
            continue
        before = 0
        for k in range(channels):
            left, above = at(r, c - 1, k), at(r - 1, c, k)
            total = 2 * abs(left) + 2 * abs(above) + abs(at(r - 1, c - 1, k)) + abs(at(r - 1, c + 1, k))
            size = next((i for i, most in enumerate((0, 2, 4, 8, 16)) if total <= most), 5)
            count = next((i for i, most in enumerate((0, 2, 6)) if before <= most), 3)
            value = int(y[r, c, k])
            yield 8 + (k * 6 + size) * 4 + count, value != 0
            if value == 0:
                continue
            before += 1
            yield 8 + channels * 24 + k * 3 + 1 + int(np.sign(left + above)), value < 0
            for j in range(8):
                yield 8 + channels * 27 + (k * 6 + size) * 8 + j, abs(value) - 1 > j
                if abs(value) - 1 <= j:
                    break


@pytest.fixture
def latents():
    rng = np.random.default_rng(4)
    return (rng.laplace(0, 1.2, (7, 9, 5)) * (rng.random((7, 9, 5)) < 0.4)).round().astype(np.int32)


def test_contexts_are_those_of_the_document(latents):
    import tables
    found, escapes = tables.decisions(latents)
    seen = np.zeros((tables.context_count(5), 2), int)
    for index, value in found:
        np.add.at(seen, (index.ravel(), value.ravel().astype(int)), 1)
    expected = np.zeros_like(seen)
    for index, value in contexts_one_by_one(latents):
        expected[index, int(value)] += 1
    assert (seen == expected).all()
    assert escapes == (abs(latents) > 8).sum()


def test_counted_probabilities_cost_less_than_even_ones(latents):
    import tables
    own = tables.count([latents] * 3)
    even = np.full(len(own), 32768, np.uint16)
    assert tables.bits(latents, own) < 0.8 * tables.bits(latents, even)
    # An even decision is a bit.
    found, escapes = tables.decisions(latents)
    assert tables.bits(latents, even) == sum(v.size for _, v in found) + 3 * escapes


def test_the_bundle_is_whole():
    import tables
    manifest = json.loads((BUNDLE / "manifest.json").read_text())
    for name, expected in manifest["files"].items():
        assert hashlib.sha256((BUNDLE / name).read_bytes()).hexdigest() == expected, name
    tensors = load_file(BUNDLE / "tables.safetensors")
    shape = manifest["levels"], manifest["channels"]
    assert tensors["gains"].shape == shape and (tensors["gains"] > 0).all()
    assert tensors["contexts"].shape == (shape[0], tables.context_count(shape[1]))


def test_streams_keep_the_id_of_the_bundle_with_one_head():
    manifest = json.loads((BUNDLE / "manifest.json").read_text())
    hashed = lambda names: hashlib.sha256("".join(f"{n} {manifest['files'][n]}\n" for n in sorted(names)).encode()).hexdigest()
    latents = [manifest["device"], manifest["tables"]]
    assert manifest["codes"] == {"id": hashed([*latents, "text.onnx"])[:16], "sha256": hashed(latents)}
    assert manifest["codes"]["id"] == "a03d25d2085abe3e"


def test_both_halves_fit_each_other():
    runtime = pytest.importorskip("onnxruntime")
    manifest = json.loads((BUNDLE / "manifest.json").read_text())
    gains = load_file(BUNDLE / "tables.safetensors")["gains"]
    frame = np.full((1, 6, 48, 80), 128, np.float32)
    frame[:, :4, 20:28, 20:60] = np.random.default_rng(5).integers(0, 256, (4, 8, 40))
    device = runtime.InferenceSession(str(BUNDLE / manifest["device"]), providers=["CPUExecutionProvider"])
    latents = device.run(None, {"frame": frame})[0]
    assert latents.shape == (1, manifest["channels"], 6, 10)
    for head in manifest["heads"]:
        server = runtime.InferenceSession(str(BUNDLE / head["file"]), providers=["CPUExecutionProvider"])
        for level in range(manifest["levels"]):
            gain = gains[level][None, :, None, None]
            found = server.run(None, {"latents": (np.rint(latents * gain) / gain).astype(np.float32)})[0]
            assert found.shape == (1, 1, 96 // head["map_stride"], 160 // head["map_stride"])
            assert (found >= 0).all() and (found <= 1).all()


def test_agreement_counts_boxes_and_pixels():
    cv2 = pytest.importorskip("cv2")
    from agreement import Agreement, boxes
    one = np.zeros((100, 200), np.float32)
    cv2.rectangle(one, (20, 20), (90, 30), 0.9, -1)
    both = one.copy()
    cv2.rectangle(both, (120, 60), (180, 72), 0.8, -1)
    assert [len(boxes(m)) for m in (one, both)] == [1, 2]
    agreement = Agreement()
    agreement.add(one, both)
    assert agreement.f == pytest.approx(2 / 3)
    assert agreement.iou == pytest.approx((one > 0).sum() / (both > 0).sum())


def test_a_part_of_a_graph_runs_as_the_whole_does():
    torch = pytest.importorskip("torch")
    runtime = pytest.importorskip("onnxruntime")
    from graph import Graph
    from onnx import TensorProto, helper, numpy_helper
    rng = np.random.default_rng(6)
    weights = {"w": rng.normal(size=(4, 3, 3, 3)), "b": rng.normal(size=(1, 4, 1, 1)), "root": np.float64(2 ** 0.5),
               "one": np.float64(1), "half": np.float64(0.5)}
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1], group=1), node("Add", ["c", "b"], ["d"]),
        node("Identity", ["d"], ["e"]), node("Div", ["e", "root"], ["f"]), node("Erf", ["f"], ["g"]),
        node("Add", ["g", "one"], ["h"]), node("Mul", ["e", "h"], ["i"]), node("Mul", ["i", "half"], ["y"]),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in weights.items()]
    model = helper.make_model(helper.make_graph(nodes, "toy", [value("x")], [value("y")], initializers),
                              opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    x = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    expected = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    with torch.no_grad():
        found = Graph(model, ["x"], ["y"])(torch.from_numpy(x))[0].numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_example_pictures_come_from_the_commits_named(tmp_path):
    import subprocess

    from packages import unpack_clones
    clone = tmp_path / "clones/owner/name"
    (clone / "examples/deep").mkdir(parents=True)
    (clone / "examples/deep/a.png").write_bytes(b"first")
    (clone / "other.png").write_bytes(b"not an example")
    git = lambda *words: subprocess.run(["git", "-C", str(clone), "-c", "user.name=t", "-c", "user.email=t@t", *words],
                                        check=True, capture_output=True, text=True).stdout.strip()
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        git(*words)
    commit = git("rev-parse", "HEAD")
    # What came later is not taken.
    (clone / "examples/deep/a.png").write_bytes(b"second")
    git("commit", "-q", "-a", "-m", "two")
    unpack_clones({"owner/name": (commit, ("examples",))}, tmp_path / "clones", tmp_path / "out")
    found = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert [p.read_bytes() for p in found] == [b"first"]
    assert found[0].relative_to(tmp_path / "out").parts == ("owner", "name", "examples", "deep", "a.png")


def test_the_second_head_is_told_by_the_kinds_of_a_page():
    pytest.importorskip("torch")
    pytest.importorskip("cv2")
    from layout import KINDS, paint
    from second import PROPERTIES, targets
    # A title over the whole width in the upper tenth, running text in the right half, of which a figure covers the lower part.
    found = [(KINDS.index("title"), 0.9, np.float32([0, 0, 1, 0.1])), (KINDS.index("text"), 0.8, np.float32([0.5, 0.2, 1, 1])),
             (KINDS.index("figure"), 0.7, np.float32([0.5, 0.6, 1, 1]))]
    maps = dict(zip(PROPERTIES, targets(paint(found, 100, 60))))
    assert maps["title"][:10].all() and not maps["title"][10:].any()
    assert maps["paragraph"][20:, 30:].all() and maps["paragraph"].sum() == 80 * 30
    assert maps["figure"][60:, 30:].all() and maps["figure"].sum() == 40 * 30


def test_weights_in_a_byte_give_nearly_the_same_map(tmp_path):
    torch = pytest.importorskip("torch")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    from second import PageHead
    from second_export import Property, export_head
    torch.manual_seed(7)
    head, latents = PageHead().eval(), torch.randn(1, 32, 6, 10)
    head.scale.uniform_(0.5, 2)
    with torch.no_grad():
        expected = torch.sigmoid(head(latents))[:, 1:2].numpy()
    export_head(tmp_path / "a.onnx", Property(head, "figure"))
    session = runtime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"latents": latents.numpy()})[0]
    # 6 rows and 10 columns of blocks: a page whose coarsest grid has a row and a column by themselves.
    assert found.shape == (1, 1, 12, 20) and np.abs(found - expected).max() < 0.02
    assert (tmp_path / "a.onnx").stat().st_size < 100_000


def test_jpeg_is_read_off_between_its_qualities():
    pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    from second_figures import agreement, bytes_at
    rows = [{"scale": 1, "bytes": 1000, "right": 0.6}, {"scale": 1, "bytes": 4000, "right": 0.8},
            {"scale": 0.5, "bytes": 900, "right": 0.5}, {"scale": 0.5, "bytes": 1800, "right": 0.7}]
    assert bytes_at(rows, "right", 0.7) == pytest.approx(1800) and bytes_at(rows, "right", 0.75) == pytest.approx(4000 / 2 ** 0.5)
    assert bytes_at(rows, "right", 0.9) is None
    wanted = [np.array([True, True, False]), np.array([False])]
    told = [np.array([True, False, False]), np.array([True])]
    # One of two is found, and one of two others is taken for one.
    assert agreement(told, wanted) == {"f": 0.5, "right": 0.5}
