#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillHead(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
