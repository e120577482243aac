// The files that fill the training part of the op table.
#pragma once
#include "../stream.h"

namespace langevin::cuda {

void fillOptimizers(OpTable& ops);
void fillImages(OpTable& ops);

}  // namespace langevin::cuda
