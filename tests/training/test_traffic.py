"""Bytes and kernels read off the text of a compiled program."""

import pytest

from keras_staa.training import gpus, traffic

pytestmark = pytest.mark.once

PROGRAM = """HloModule f, is_scheduled=true

%halves (a: bf16[4,8], b: f32[2]) -> bf16[8] {
  %a = bf16[4,8]{1,0} parameter(0)
  %b = f32[2]{0} parameter(1)
  %wide = f32[4,8]{1,0} convert(%a)
  %first = f32[1,8]{1,0} slice(%wide), slice={[0:1], [0:8]}
  %third = f32[1,8]{1,0} slice(%wide), slice={[2:3], [0:8]}
  %again = f32[1,8]{1,0} slice(%wide), slice={[2:3], [0:8]}
  %sum = f32[1,8]{1,0} add(%first, %third)
  %more = f32[1,8]{1,0} add(%sum, %again)
  %scale = f32[1,8]{1,0} broadcast(%b), dimensions={}
  %product = f32[1,8]{1,0} multiply(%more, %scale)
  ROOT %out = bf16[8]{0} convert(%product)
}

%put (target: f32[100], part: f32[5], at: s32[]) -> f32[100] {
  %target = f32[100]{0} parameter(0)
  %part = f32[5]{0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %there = f32[100]{0} dynamic-update-slice(%target, %part, %at)
}

%body (p: (s32[], f32[5])) -> (s32[], f32[5]) {
  %p = (s32[], f32[5]{0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %v = f32[5]{0} get-tuple-element(%p), index=1
  %w = f32[5]{0} negate(%v)
  ROOT %t = (s32[], f32[5]{0}) tuple(%i, %w)
}

%condition (p: (s32[], f32[5])) -> pred[] {
  %p = (s32[], f32[5]{0}) parameter(0)
  ROOT %less = pred[] constant(true)
}

%recorded (c: bf16[8]) -> bf16[8] {
  %c = bf16[8]{0} parameter(0)
  ROOT %copied = bf16[8]{0} copy(%c)
}

ENTRY %main (x: bf16[4,8], y: f32[2], z: f32[100]) -> bf16[8] {
  %x = bf16[4,8]{1,0} parameter(0)
  %y = f32[2]{0} parameter(1)
  %z = f32[100]{0} parameter(2)
  %one = bf16[8]{0} fusion(%x, %y), kind=kLoop, calls=%halves, metadata={op_name="jit(f)/add"}
  %five = f32[5]{0} constant({1, 2, 3, 4, 5})
  %zero = s32[] constant(0)
  %two = f32[100]{0} fusion(%z, %five, %zero), kind=kLoop, calls=%put
  %start = (s32[], f32[5]{0}) tuple(%zero, %five)
  %loop = (s32[], f32[5]{0}) while(%start), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"3"}}
  ROOT %last = bf16[8]{0} call(%one), to_apply=%recorded
}
"""


def test_a_program_by_hand():
    found = traffic.kernels(PROGRAM)
    # Two of four rows of 16 bytes, 8 bytes of y and 16 bytes out; 5 numbers and a place are read
    # and 5 numbers written; three times 5 numbers in and out; 8 numbers of 16 bits in and out.
    expected = [("fusion", 32 + 8 + 16), ("fusion", 20 + 4 + 20), *[("negate", 40)] * 3]
    assert [(k.kind, k.bytes) for k in found] == [*expected, ("copy", 32)]
    assert found[0].source == "jit(f)/add"


def test_sizes_of_types():
    assert traffic.size("(f32[2,3]{1,0}, s4[3]{0}, pred[7]{0}, f32[])") == 24 + 2 + 7 + 4


@pytest.mark.parametrize("name", ["h200:1", "h100:none", "h100:0"])
def test_a_chip_that_is_not_known(name):
    with pytest.raises(ValueError, match=name):
        gpus.devices(name)


def test_a_plugin_that_is_not_loaded(monkeypatch):
    """As where it is installed, there is no GPU, and JAX was not told to stay on the CPU."""
    monkeypatch.setattr(gpus, "_find_compiler", lambda: None)
    topologies = pytest.importorskip("jax.experimental.topologies")

    def get_topology_desc(*args, platform, **kwargs):
        raise NotImplementedError(f"topology not implemented for {platform}")

    monkeypatch.setattr(topologies, "get_topology_desc", get_topology_desc)
    with pytest.raises(RuntimeError, match="set JAX_PLATFORMS=cpu before Python starts"):
        gpus.devices("h100:1")


def test_a_description_names_the_chip():
    text = gpus.target("a100")
    assert "core_count: 108" in text and 'description_str: "NVIDIA A100' in text
    assert text.count("{") == text.count("}")


def test_memory_on_the_chip_of_a_tpu_counts_nothing():
    program = """HloModule f, is_scheduled=true

ENTRY %main (x: bf16[16,128]) -> bf16[16,128] {
  %x = bf16[16,128]{1,0:T(8,128)(2,1)} parameter(0)
  %copy-start = (bf16[16,128]{1,0:T(8,128)(2,1)S(1)}, bf16[16,128]{1,0:T(8,128)(2,1)}, \
u32[]{:S(2)}) copy-start(%x)
  %copy-done = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start)
  %two = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} negate(%copy-done)
  %slice-start = ((bf16[16,128]{1,0:T(8,128)(2,1)}), bf16[8,128]{1,0:T(8,128)(2,1)S(1)}, \
s32[]{:S(2)}) slice-start(%x), slice={[0:8], [0:128]}
  ROOT %three = bf16[16,128]{1,0:T(8,128)(2,1)} negate(%two)
}
"""
    moved = {k.name: k.bytes for k in traffic.kernels(program)}
    assert moved == {"copy-start": 4096, "two": 0, "slice-start": 2048, "three": 4096}
