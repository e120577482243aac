// The parts of the training family.
#pragma once
#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillOptimizers(OpTable& ops);
void fillImages(OpTable& ops);

}  // namespace langevin::LANGEVIN_ISA
