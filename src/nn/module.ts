import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/**
 * A part of a model: named parameters (which want gradients), named buffers (which do not), and named parts. Names join
 * with dots, as PyTorch's do, so that a WideResNet's parameters have the names of the released code.
 */
export abstract class Module {
  private ownParameters = new Map<string, Tensor>()
  private ownBuffers = new Map<string, Tensor>()
  private parts = new Map<string, Module>()
  private isTraining = true

  /** Registers a parameter: it lives until dispose(), and gradients flow to it. */
  protected parameter(name: string, value: Tensor): Tensor {
    value.requiresGrad = true
    value.storage.keepsBf16 = true
    this.ownParameters.set(name, keep(value))
    return value
  }

  /** Registers state that is saved but not trained. */
  protected buffer(name: string, value: Tensor): Tensor {
    this.ownBuffers.set(name, keep(value))
    return value
  }

  protected part<M extends Module>(name: string, module: M): M {
    this.parts.set(name, module)
    return module
  }

  /** Every parameter with its full name, in the order of registration. */
  namedParameters(prefix = ''): [name: string, parameter: Tensor][] {
    return this.collect(prefix, (module) => module.ownParameters)
  }

  namedBuffers(prefix = ''): [name: string, buffer: Tensor][] {
    return this.collect(prefix, (module) => module.ownBuffers)
  }

  parameters(): Tensor[] {
    return this.namedParameters().map(([, parameter]) => parameter)
  }

  /** Parameters and buffers by name. The tensors are the module's own. */
  stateDict(): Map<string, Tensor> {
    return new Map([...this.namedParameters(), ...this.namedBuffers()])
  }

  /** Number of trained values. */
  parameterCount(): number {
    return this.parameters().reduce((total, parameter) => total + parameter.size, 0)
  }

  get training(): boolean {
    return this.isTraining
  }

  /** Sets training (true) or eval mode of this module and its parts: norms and dropout differ. */
  train(on = true): this {
    this.isTraining = on
    for (const module of this.parts.values()) module.train(on)
    return this
  }

  eval(): this {
    return this.train(false)
  }

  /** Runs `fn` with parameters that want no gradient: the graph then keeps no activation for them, which is what makes
   *  sampling cheap. `fn` must be synchronous. */
  frozen<R>(fn: () => R): R {
    const parameters = this.parameters()
    const before = parameters.map((parameter) => parameter.requiresGrad)
    for (const parameter of parameters) parameter.requiresGrad = false
    try {
      return fn()
    } finally {
      parameters.forEach((parameter, i) => {
        parameter.requiresGrad = before[i]
      })
    }
  }

  /** To be called after the state dict was changed from outside: what a module has derived from it is forgotten. */
  restored(): void {
    for (const module of this.parts.values()) module.restored()
  }

  /** Drops the gradients that backward() accumulated. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose()
      parameter.grad = undefined
    }
  }

  dispose(): void {
    for (const tensor of this.stateDict().values()) tensor.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  private collect(prefix: string, own: (module: Module) => Map<string, Tensor>): [string, Tensor][] {
    const found = [...own(this)].map(([name, tensor]): [string, Tensor] => [prefix + name, tensor])
    for (const [name, module] of this.parts) found.push(...module.collect(`${prefix}${name}.`, own))
    return found
  }
}
