export { backward, grad } from './autograd/backward.ts'
export { GradcheckError, type GradcheckOptions, gradcheck } from './autograd/gradcheck.ts'
export { enableGrad, noGrad } from './autograd/graph.ts'
export { dataFolder } from './data/cache.ts'
export { DATASET_NAMES, hasTestPart, type LoadOptions, lastingSource, loadDataset, placeOf } from './data/catalog.ts'
export { type ConvertOptions, conversionTo, convertImages } from './data/convert.ts'
export { type Dataset, takeImages } from './data/dataset.ts'
export { DERIVED_NAMES, type DerivedName, derivedDataset } from './data/derived.ts'
export type { PngDecoder } from './data/image-folder.ts'
export { checkDataset, type FileState, type InstallOptions, installDataset } from './data/install.ts'
export { IndexLoader, splitIndices } from './data/loader.ts'
export { checkSameSize, loadOod, type OodOptions } from './data/ood.ts'
export { type DatasetName, SOURCES, type Source } from './data/sources.ts'
export * from './errors.ts'
export {
  type AccuracyCurve,
  accuracyCurve,
  type CurveOptions,
  type CurvePoint,
  curveOfDistances,
} from './eval/attacks/accuracyCurve.ts'
export { type ApgdOptions, apgd } from './eval/attacks/apgd.ts'
export type { Adversarial, Attack, AttackTarget } from './eval/attacks/attack.ts'
export type { Norm as AttackNorm } from './eval/attacks/ball.ts'
export { type Classifier, classifierOf, type RefinementOptions, refinedClassifier } from './eval/attacks/classifier.ts'
export { type DistalOptions, distalAdversarials } from './eval/attacks/distal.ts'
export { gradientMasking, type MaskingOptions, type MaskingReport } from './eval/attacks/gradientMasking.ts'
export * from './eval/attacks/losses.ts'
export { type MinimalDistanceOptions, minimalDistances } from './eval/attacks/minimalDistance.ts'
export { type PgdOptions, pgd } from './eval/attacks/pgd.ts'
export { type SquareOptions, squareAttack } from './eval/attacks/square.ts'
export { bootstrapIntervals, type Interval } from './eval/bootstrap.ts'
export {
  type Comparison,
  compareRuns,
  type RunGroup,
  type RunRecord,
  readRunRecord,
  type Statistic,
} from './eval/compare.ts'
export * from './eval/detection.ts'
export {
  type Evaluation,
  type Judged,
  type JudgeOptions,
  judge,
  readEvaluation,
  saveEvaluation,
} from './eval/evaluation.ts'
export { type GoldenResult, verifyGolden } from './eval/golden.ts'
export * from './eval/metrics.ts'
export { type Images, imagesOf, noiseImages } from './eval/pictures.ts'
export {
  type ChainReference,
  type ChainTrace,
  type ChainVerdict,
  judgeChains,
  type LongChainOptions,
  longChains,
} from './eval/samples/longChains.ts'
export { type Neighbours, nearestImages } from './eval/samples/neighbours.ts'
export * from './eval/scores.ts'
export { checkKernels, type KernelCheck } from './eval/self-check.ts'
export { type AccuracyResult, accuracy as accuracySuite } from './eval/suites/accuracy.ts'
export { type CalibrationResult, calibration as calibrationSuite } from './eval/suites/calibration.ts'
export { type OodResult, type OodSuiteOptions, ood as oodSuite } from './eval/suites/ood.ts'
export {
  type RobustnessOptions,
  type RobustnessResult,
  robustness as robustnessSuite,
} from './eval/suites/robustness.ts'
export { type SamplesOptions, type SamplesResult, samples as samplesSuite } from './eval/suites/samples.ts'
export type { MeasuredOn, Suite, SuiteContext, SuiteOutput } from './eval/suites/suite.ts'
export { fitTemperature, scaledLogits, type TemperatureFit } from './eval/temperature.ts'
export { type ImageGridOptions, imageGrid, writeImageGrid } from './io/grid.ts'
export { encodePng } from './io/png.ts'
export * from './io/pytorch.ts'
export {
  encodeSafetensors,
  parseSafetensors,
  readSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  writeSafetensors,
} from './io/safetensors.ts'
export { openEventFile, readEventTimes } from './io/tensorboard.ts'
export { type ChainRequest, type ChainStart, GaussianStart, uniformStart } from './jem/chainStart.ts'
export { type Checkpoint, type CheckpointMeta, partOf, readCheckpoint } from './jem/checkpoint.ts'
export { defaultConfig, type JemConfig } from './jem/config.ts'
export { type LoadedRun, loadRun } from './jem/loadRun.ts'
export { JemModel, type JemModelOptions, type JemOutput } from './jem/model.ts'
export { type Batches, type Objective, objective } from './jem/objective.ts'
export { type PredictOptions, predict } from './jem/predict.ts'
export { recipeConfig, recipeNames, recipes } from './jem/recipes/index.ts'
export type { Recipe } from './jem/recipes/recipe.ts'
export { ReplayBuffer, type ReplayBufferOptions } from './jem/replayBuffer.ts'
export { type RunOptions, type RunResult, trainRun } from './jem/run.ts'
export { type EnergyModel, inputGradient, type SamplerOptions, SgldChains, sgld } from './jem/sampler.ts'
export { JemTrainer, langevinNoise, type StepMetrics, samplerOptions, type TrainerState } from './jem/trainer.ts'
export type { Device, DType } from './native/contract.ts'
export type { Init, LayerOptions } from './nn/init.ts'
export { Conv2d, Linear } from './nn/layers.ts'
export { Module } from './nn/module.ts'
export { BatchNorm, makeNorm, Norm, type NormName } from './nn/norms.ts'
export { fromPyTorch, loadStateDict, toPyTorch } from './nn/stateDict.ts'
export { parseModelName, WideResNet, type WideResNetOptions } from './nn/wideResNet.ts'
export { accumulate } from './ops/accumulate.ts'
export * from './ops/arithmetic.ts'
export { assign, cast, clone } from './ops/cast.ts'
export { type Conv2dOptions, conv2d, conv2dBoth, type Shortcut } from './ops/conv2d.ts'
export { type EnergyHeadOptions, energyHead } from './ops/energyHead.ts'
export { linear, matmul } from './ops/matmul.ts'
export { batchNorm, channelAffine, groupNorm, instanceNorm, type Normalised, type NormOptions } from './ops/norm.ts'
export { avgPool2d, globalAvgPool } from './ops/pool.ts'
export { type Precision, precisions, withPrecision } from './ops/precision.ts'
export { dropout, normal, randomInt, uniform } from './ops/random.ts'
export { argmax, l2Norm, max, mean, min, type ReduceOptions, sum } from './ops/reduce.ts'
export { gatherRows, pick, scatterRows } from './ops/rows.ts'
export { broadcastTo, concat, crop, flip, pad, padReflect, reshape, slice, transpose } from './ops/shape.ts'
export { crossEntropy, logSoftmax, logsumexp, softmax } from './ops/softmax.ts'
export { imageBatch, type SgldOptions, sgldUpdate, sumOfSquares } from './ops/training.ts'
export {
  abs,
  affine,
  clamp,
  elu,
  exp,
  gelu,
  leakyRelu,
  log,
  neg,
  power,
  reciprocal,
  relu,
  sigmoid,
  sign,
  silu,
  softplus,
  sqrt,
  square,
  tanh,
} from './ops/unary.ts'
export { Adam, type AdamOptions } from './optim/adam.ts'
export type { Optimizer } from './optim/optimizer.ts'
export { type SamOptions, withPerturbedWeights } from './optim/sam.ts'
export { learningRate, type ScheduleOptions } from './optim/schedule.ts'
export { Sgd, type SgdOptions } from './optim/sgd.ts'
export { Generator, type GeneratorState, type Purpose, purposes } from './random/generator.ts'
export { philox4x32 } from './random/philox.ts'
export { type Captured, type CaptureOptions, capture, isCapturing, type Lane, replayLanes } from './tensor/capture.ts'
export { full, type NestedNumbers, ones, type TensorOptions, tensor, to, zeros } from './tensor/create.ts'
export { bytesOf, fromBf16, type HostArray, toBf16 } from './tensor/dtype.ts'
export { instructionSet, instructionSets, setInstructionSet } from './tensor/instruction-set.ts'
export { liveTensors, setLeakDebug } from './tensor/leaks.ts'
export {
  type Memory,
  memory,
  resetPeakMemory,
  setMemoryLimit,
  setThreads,
  synchronize,
  threadCount,
} from './tensor/memory.ts'
export { keep, scope } from './tensor/scope.ts'
export { empty, Tensor } from './tensor/tensor.ts'
