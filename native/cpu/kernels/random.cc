#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillRandom(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
