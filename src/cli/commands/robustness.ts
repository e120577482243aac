import type { Command } from 'commander'
import { type AttackName, attackNames, defaultEpsilons } from '../../eval/attacks/names.ts'
import { choiceFlag, numberFlag, wholeFlag } from '../range.ts'

/** What is absent has the suite's default (`eval/suites/robustness.ts`). */
export interface RobustnessFlags {
  attackImages?: number
  attacks?: AttackName[]
  epsilons?: number[]
  epsilonsL2?: number[]
  attackSteps?: number
  restarts?: number
  refine?: number[]
  eotDraws?: number
  minimalDistance?: boolean
}

/** They make a group of the help text: options added later join it. */
export function addRobustnessOptions(command: Command): Command {
  const epsilons = (flag: string) => listOf(numberFlag(flag, { min: 0 }))
  return command
    .optionsGroup('Options of the robustness suite:')
    .option(
      '--attack-images <n>',
      'attack the first n test images (default: 100)',
      wholeFlag('--attack-images', { min: 1 }),
    )
    .option(
      '--attacks <names>',
      `of ${attackNames.join(', ')} (default: all)`,
      listOf(choiceFlag('--attacks', attackNames)),
    )
    .option(
      '--epsilons <list>',
      `L∞ budgets in 1/255 of [0, 1]; none: no L∞ (default: ${defaultEpsilons.linf.join(',')})`,
      epsilons('--epsilons'),
    )
    .option(
      '--epsilons-l2 <list>',
      `L2 budgets, likewise (default: ${defaultEpsilons.l2.join(',')})`,
      epsilons('--epsilons-l2'),
    )
    .option('--attack-steps <n>', 'steps of each attack (default: 40)', wholeFlag('--attack-steps', { min: 1 }))
    .option('--restarts <n>', 'random starts of each attack (default: 1)', wholeFlag('--restarts', { min: 1 }))
    .option(
      '--refine <list>',
      'attack JEM-n, too, for these n; none: no (default: 1)',
      listOf(wholeFlag('--refine', { min: 1 })),
    )
    .option(
      '--eot-draws <n>',
      'gradients averaged in attacks on JEM-n (default: 1)',
      wholeFlag('--eot-draws', { min: 1 }),
    )
    .option('--minimal-distance', 'search the nearest adversarial images, too, as the released code does')
}

/** A parser of comma-separated values, or of `none`. */
function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => (text === 'none' ? [] : text.split(',').map(parse))
}
