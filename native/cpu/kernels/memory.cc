#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillMemory(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
