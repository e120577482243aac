#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillNorm(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
