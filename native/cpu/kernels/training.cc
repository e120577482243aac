#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillTraining(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
