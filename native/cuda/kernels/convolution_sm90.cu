// Convolution by Hopper's own instructions: none yet, so that the choice of implementations goes on to the others.
#include "../convolution.h"

namespace langevin::cuda::sm90 {

bool forward(Stream&, const ConvForward&) { return false; }
bool backwardInput(Stream&, const ConvBackwardInput&) { return false; }
bool backwardWeight(Stream&, const ConvBackwardWeight&) { return false; }

}  // namespace langevin::cuda::sm90
