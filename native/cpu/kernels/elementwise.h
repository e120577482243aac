// The parts of the element-wise family.
#pragma once
#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillUnary(OpTable& ops);
void fillBroadcast(OpTable& ops);

}  // namespace langevin::LANGEVIN_ISA
