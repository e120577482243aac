// The kernel families. Every file in kernels/ is compiled once per instruction set, with LANGEVIN_ISA naming the
// namespace its code lives in, and fills its part of the op table.
#pragma once
#include "../core/op_table.h"

#define LANGEVIN_DECLARE_KERNELS(isa)     \
  namespace isa {                         \
  void fillMemory(OpTable& ops);          \
  void fillElementwise(OpTable& ops);     \
  void fillReduce(OpTable& ops);          \
  void fillMatmul(OpTable& ops);          \
  void fillConvolution(OpTable& ops);     \
  void fillPool(OpTable& ops);            \
  void fillNorm(OpTable& ops);            \
  void fillHead(OpTable& ops);            \
  void fillRandom(OpTable& ops);          \
  void fillTraining(OpTable& ops);        \
  inline void fillOpTable(OpTable& ops) { \
    fillMemory(ops);                      \
    fillElementwise(ops);                 \
    fillReduce(ops);                      \
    fillMatmul(ops);                      \
    fillConvolution(ops);                 \
    fillPool(ops);                        \
    fillNorm(ops);                        \
    fillHead(ops);                        \
    fillRandom(ops);                      \
    fillTraining(ops);                    \
  }                                       \
  }

namespace langevin {
LANGEVIN_DECLARE_KERNELS(base)
#if defined(__x86_64__)
LANGEVIN_DECLARE_KERNELS(avx2)
LANGEVIN_DECLARE_KERNELS(avx512)
namespace avx512bf16 {  // what gains from products of bf16; avx512 has the rest
void fillConvolution(OpTable& ops);
inline void fillOpTable(OpTable& ops) {
  avx512::fillOpTable(ops);
  fillConvolution(ops);
}
}  // namespace avx512bf16
#endif
}  // namespace langevin
