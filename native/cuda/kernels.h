// The kernel families: each file of kernels/ fills its part of the op table, with the names and the meaning of the
// CPU's.
#pragma once
#include "stream.h"

namespace langevin::cuda {

void fillMemory(OpTable& ops);
void fillElementwise(OpTable& ops);
void fillReduce(OpTable& ops);
void fillMatmul(OpTable& ops);
void fillConvolution(OpTable& ops);
void fillPool(OpTable& ops);
void fillNorm(OpTable& ops);
void fillHead(OpTable& ops);
void fillRandom(OpTable& ops);
void fillTraining(OpTable& ops);

inline void fillOpTable(OpTable& ops) {
  fillMemory(ops);
  fillElementwise(ops);
  fillReduce(ops);
  fillMatmul(ops);
  fillConvolution(ops);
  fillPool(ops);
  fillNorm(ops);
  fillHead(ops);
  fillRandom(ops);
  fillTraining(ops);
}

}  // namespace langevin::cuda
