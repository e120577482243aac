#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillPool(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
