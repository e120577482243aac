import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkModelName, configSchema, isModelName, readConfigFile, resolveConfig } from '../../src/cli/config.ts'
import { flagOf, settingOfReleasedName, settings } from '../../src/cli/options.ts'
import type { ConfigError } from '../../src/errors.ts'
import { defaultConfig } from '../../src/jem/config.ts'
import { recipeConfig } from '../../src/jem/recipes/index.ts'

const file = (values: unknown) => ({ path: 'my.json', values })

describe('precedence', () => {
  it('is flags, then file, then the released defaults', () => {
    const { config, given } = resolveConfig({ sigma: '0.1', seed: undefined }, file({ sigma: 0.2, lr: 0.001 }))
    expect(config).toEqual({ ...defaultConfig, sigma: 0.1, lr: 0.001 })
    expect(given).toEqual({ sigma: 0.1, lr: 0.001 })
    expect(resolveConfig().config).toEqual(defaultConfig)
    expect(resolveConfig().config.decayEpochs).not.toBe(defaultConfig.decayEpochs)
  })

  it('puts the recipe below both, whichever of them names it', () => {
    const { config, given } = resolveConfig(
      { recipe: 'sada-jem', sgldSteps: '10' },
      file({ recipe: 'jem++', lr: 0.05 }),
    )
    expect(config).toEqual(recipeConfig('sada-jem', { sgldSteps: 10, lr: 0.05 }))
    expect(given).toEqual({ recipe: 'sada-jem', sgldSteps: 10, lr: 0.05 })
    expect(resolveConfig({}, file({ recipe: 'jem++' })).config).toEqual(recipeConfig('jem++'))
    expect(resolveConfig({ clampSamples: false }, file({ recipe: 'jem++' })).config.clampSamples).toBe(false)
  })

  it('lets --epochs win over steps in the file, and refuses both flags', () => {
    expect(resolveConfig({ epochs: '3' }, file({ steps: 500 })).config).toMatchObject({ epochs: 3, steps: 0 })
    expect(resolveConfig({}, file({ steps: 500, epochs: 3 })).config).toMatchObject({ epochs: 3, steps: 500 })
    expect(() => resolveConfig({ epochs: '3', steps: '5' })).toThrow('--steps and --epochs exclude each other')
  })

  it('lets a --no- flag turn off what the file turns on', () => {
    expect(resolveConfig({ clampSamples: false }, file({ clampSamples: true })).config.clampSamples).toBe(false)
  })
})

describe('checks', () => {
  it.each([
    [{ sgldSteps: 'abc' }, 'sgldSteps must be a whole number >= 0, got "abc"'],
    [{ sgldSteps: '' }, 'sgldSteps must be a whole number >= 0, got ""'],
    [{ sgldSteps: '2.5' }, 'sgldSteps must be a whole number >= 0, got 2.5'],
    [{ sgldSteps: '-1' }, 'sgldSteps must be a whole number >= 0, got -1'],
    [{ sgldSteps: '1e400' }, 'sgldSteps must be a whole number >= 0, got Infinity'],
    [{ reinitProbability: '1.5' }, 'reinitProbability must be a number >= 0 and <= 1, got 1.5'],
    [{ dropout: '1' }, 'dropout must be a number >= 0 and < 1, got 1'],
    [{ rollbackLrFactor: '0' }, 'rollbackLrFactor must be a number > 0 and <= 1, got 0'],
    [{ batch: '0' }, 'batch must be a whole number >= 1, got 0'],
    [{ lr: 'nan' }, 'lr must be a number >= 0, got "nan"'],
    [{ norm: 'bach' }, 'norm must be one of none, batch, instance, layer, act, got "bach"'],
    [{ decayEpochs: ['5', '-3'] }, 'decayEpochs must be a list of whole numbers >= 0, got [5,-3]'],
    [
      { model: 'wrn-12-1' },
      'model must be wrn-<depth>-<width> with depth = 6n + 4 (10, 16, 22, 28, ...), got "wrn-12-1"',
    ],
  ])('%j is refused in words', (flags, message) => {
    expect(() => resolveConfig(flags)).toThrow(expect.objectContaining({ code: 'CONFIG', message }))
  })

  it('an unknown recipe or choice is refused with the nearest name', () => {
    const refusal = (message: string, hint: string) => expect.objectContaining({ code: 'CONFIG', message, hint })
    expect(() => resolveConfig({ recipe: 'jem+++' })).toThrow(
      refusal('recipe must be one of jem, jem++, sada-jem, m-jem, classifier, got "jem+++"', 'did you mean jem++?'),
    )
    expect(() => resolveConfig({ recipe: 'SADA_JEM' })).toThrow(
      expect.objectContaining({ hint: 'did you mean sada-jem?' }),
    )
    expect(() => resolveConfig({ norm: 'bach' })).toThrow(expect.objectContaining({ hint: 'did you mean batch?' }))
  })

  it('a Langevin temperature and a noise of its own exclude each other', () => {
    expect(() => resolveConfig({ langevinTemperature: '1', noiseStd: '0.1' })).toThrow('exclude each other')
    expect(resolveConfig({ langevinTemperature: '1', recipe: 'm-jem' }).config.langevinTemperature).toBe(1)
  })

  it('does not take text for a number, a number for a switch or null in a file', () => {
    expect(() => resolveConfig({}, file({ lr: '0.1' }))).toThrow('lr must be a number >= 0, got "0.1" in my.json')
    expect(() => resolveConfig({}, file({ unconditional: 1 }))).toThrow('unconditional must be true or false, got 1')
    expect(() => resolveConfig({}, file({ seed: null }))).toThrow('seed must be a whole number >= 0, got null')
    expect(() => resolveConfig({}, file([1]))).toThrow('expected a JSON object of settings in my.json, got [1]')
  })

  it('names every wrong key at once', () => {
    expect(() => resolveConfig({ lr: 'x', batch: '0' })).toThrow(/batch must be .*; lr must be/)
  })

  it('names the nearest key for an unknown one, and ours for a name of the released code', () => {
    const hintOf = (values: object) => {
      try {
        resolveConfig({}, file(values))
      } catch (error) {
        return [(error as Error).message, (error as ConfigError).hint]
      }
      return []
    }
    expect(hintOf({ sgldStep: 3 })).toEqual(['unknown setting "sgldStep" in my.json', 'did you mean sgldSteps?'])
    expect(hintOf({ n_steps: 3 })[1]).toBe("the released code's n_steps is sgldSteps here")
    expect(hintOf({ qqqqqqqqqqqq: 3 })[1]).toBe('langevin train --help lists all settings')
    expect(hintOf({ model: 'wrn-29-10' })[1]).toBe('did you mean wrn-28-10?')
  })

  it('refuses a run without any loss term', () => {
    expect(() => resolveConfig({ pxWeight: '0', pyxWeight: '0' })).toThrow('there is nothing to train')
    expect(resolveConfig({ pxWeight: '0' }).config.pxWeight).toBe(0)
  })

  it('takes models of depth 6n + 4 only', () => {
    expect(['wrn-10-1', 'wrn-16-2', 'wrn-28-10', 'wrn-40-4'].every(isModelName)).toBe(true)
    for (const name of ['wrn-4-1', 'wrn-12-1', 'wrn-10-0', 'wrn-10-01', 'WRN-10-1', 'wrn-10', 'wrn-10-1 ']) {
      expect(isModelName(name), name).toBe(false)
    }
    expect(() => checkModelName('--net', 'wrn-9-1')).toThrow('--net must be wrn-')
  })

  it('takes decay epochs as several words, with commas, or none', () => {
    expect(resolveConfig({ decayEpochs: ['50', '100'] }).config.decayEpochs).toEqual([50, 100])
    expect(resolveConfig({ decayEpochs: ['50,100'] }).config.decayEpochs).toEqual([50, 100])
    expect(resolveConfig({ decayEpochs: ['none'] }).config.decayEpochs).toEqual([])
  })
})

describe('--config file', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'langevin-config-')), 'c.json')

  it('is read, with or without a byte order mark', () => {
    writeFileSync(path, '\uFEFF{"sigma": 0.1}')
    expect(readConfigFile(path)).toEqual({ path, values: { sigma: 0.1 } })
  })

  it('that is missing or is not JSON gives one line with its path', () => {
    expect(() => readConfigFile(`${path}.none`)).toThrow(`--config: cannot read ${path}.none (ENOENT)`)
    writeFileSync(path, '{sigma: 0.1}')
    expect(() => readConfigFile(path)).toThrow(`--config: ${path} is not valid JSON`)
  })
})

describe('the table of settings', () => {
  it('covers the configuration in its order, and its defaults pass its own checks', () => {
    expect(Object.keys(settings)).toEqual(Object.keys(defaultConfig))
    expect(configSchema.parse(defaultConfig)).toEqual(defaultConfig)
  })

  it('makes flags that are unique and names of the released code that are ours once', () => {
    const flags = Object.keys(settings).map(flagOf)
    expect(new Set(flags).size).toBe(flags.length)
    expect(flagOf('energyL2')).toBe('--energy-l2')
    expect(settingOfReleasedName('--p_y_given_x_weight')).toBe('pyxWeight')
    const released = Object.values(settings).flatMap((setting) => setting.released ?? [])
    expect(new Set(released).size).toBe(released.length)
  })
})
