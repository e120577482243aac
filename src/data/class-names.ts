/** 0, 1, 2, …: the names of classes that have no others. */
export function numberedClasses(classes: number): string[] {
  return Array.from({ length: classes }, (_, label) => String(label))
}

/** Fashion-MNIST's README, section "Labels". */
export const FASHION_MNIST_CLASSES = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
]

/** CIFAR-10's batches.meta.txt. */
export const CIFAR10_CLASSES = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ')

/** CIFAR-100's fine_label_names.txt. */
export const CIFAR100_CLASSES = `
  apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
  caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
  forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
  mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
  possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
  sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
  willow_tree wolf woman worm`
  .trim()
  .split(/\s+/)
