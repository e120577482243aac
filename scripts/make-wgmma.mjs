// Writes native/cuda/wgmma_instructions.h: wgmma needs every accumulator register spelled out, and nobody should have to
// read or type those lists. Run it (`node scripts/make-wgmma.mjs`) to add a width to `widths`.
import { writeFileSync } from 'node:fs'

const widths = [32, 64, 128, 160]

function instruction(n) {
  const registers = n / 2
  const list = (text) => Array.from({ length: registers }, (_, i) => text(i)).join(', ')
  return `template <>
struct Wgmma<${n}> {
  template <int transposeA, int transposeB>
  LANGEVIN_DEVICE static void multiply(float (&d)[${registers}], uint64_t a, uint64_t b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n${n}k16.f32.bf16.bf16 {${list((i) => `%${i}`)}}, %${registers}, %${registers + 1}, 1, 1, 1, %${registers + 2}, %${registers + 3};"
        : ${list((i) => `"+f"(d[${i}])`)}
        : "l"(a), "l"(b), "n"(transposeA), "n"(transposeB));
  }
};
`
}

const text = `// Made by scripts/make-wgmma.mjs: do not edit. The matrix instructions themselves; wgmma.h says what they mean.
#pragma once
// clang-format off
namespace langevin::ptx {

template <int n>
struct Wgmma;

${widths.map(instruction).join('\n')}
}  // namespace langevin::ptx
// clang-format on
`
writeFileSync(new URL('../native/cuda/wgmma_instructions.h', import.meta.url), text)
