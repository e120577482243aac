import type { Sum } from '../io/digest.ts'

/** A file as it is published. */
export type OfficialFile = {
  name: string
  bytes: number
  /** `md5:` or `sha256:` and the digest in hexadecimal. */
  sum: Sum
}

export type Download = OfficialFile & {
  /** The same file at each; tried in this order. */
  urls: readonly string[]
  /** What is installed of it, a tar.gz; without this, it is installed as it is. */
  unpacked?: readonly OfficialFile[]
  /** Installed only if asked for. */
  optional?: boolean
}

/** Where a data set comes from. */
export type Source = {
  /** What it is, in a line. */
  about: string
  /** The folder that the official archive unpacks to, or the usual name of it. */
  folder: string
  images: { train: number; test: number }
  downloads: readonly Download[]
  /** What the authors ask of users. */
  terms: string
}

const from = (bases: readonly string[], file: Omit<Download, 'urls'>): Download => ({
  ...file,
  urls: bases.map((base) => `${base}${file.name}`),
})

// The MNIST page itself (http://yann.lecun.com/exdb/mnist) no longer gives the files; these are copies that its users'
// libraries name.
const mnist = ['https://ossci-datasets.s3.amazonaws.com/mnist/', 'https://storage.googleapis.com/cvdf-datasets/mnist/']
const fashion = [
  'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
  'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
]
const cifar = ['https://www.cs.toronto.edu/~kriz/']
const svhn = ['http://ufldl.stanford.edu/housenumbers/']

/** The official files by the name of the data set. Sums: MD5 of MNIST, Fashion-MNIST and SVHN as in torchvision
 *  (datasets/mnist.py, svhn.py), and Fashion-MNIST's README; SHA-256 of the CIFAR archives and of their members as in
 *  torchvision.rb (datasets/cifar10.rb, cifar100.rb). */
export const SOURCES = {
  mnist: {
    about: 'handwritten digits, 28×28 grey',
    folder: 'mnist',
    images: { train: 60_000, test: 10_000 },
    downloads: [
      from(mnist, {
        name: 'train-images-idx3-ubyte.gz',
        bytes: 9_912_422,
        sum: 'md5:f68b3c2dcbeaaa9fbdd348bbdeb94873',
      }),
      from(mnist, { name: 'train-labels-idx1-ubyte.gz', bytes: 28_881, sum: 'md5:d53e105ee54ea40749a09fcbcd1e9432' }),
      from(mnist, { name: 't10k-images-idx3-ubyte.gz', bytes: 1_648_877, sum: 'md5:9fb629c4189551a2d022fa330f9573f3' }),
      from(mnist, { name: 't10k-labels-idx1-ubyte.gz', bytes: 4542, sum: 'md5:ec29112dd5afa0611ce80d1b7f02629c' }),
    ],
    terms: 'LeCun, Cortes and Burges; CC BY-SA 3.0',
  },
  'fashion-mnist': {
    about: 'clothes, 28×28 grey',
    folder: 'fashion-mnist',
    images: { train: 60_000, test: 10_000 },
    downloads: [
      from(fashion, {
        name: 'train-images-idx3-ubyte.gz',
        bytes: 26_421_880,
        sum: 'md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d',
      }),
      from(fashion, { name: 'train-labels-idx1-ubyte.gz', bytes: 29_515, sum: 'md5:25c81989df183df01b3e8a0aad5dffbe' }),
      from(fashion, {
        name: 't10k-images-idx3-ubyte.gz',
        bytes: 4_422_102,
        sum: 'md5:bef4ecab320f06d8554ea6380940ec79',
      }),
      from(fashion, { name: 't10k-labels-idx1-ubyte.gz', bytes: 5148, sum: 'md5:bb300cfdad3c16e7a12a480ee83cd310' }),
    ],
    terms: 'Zalando Research; MIT licence',
  },
  cifar10: {
    about: 'photographs of 10 kinds, 32×32 RGB',
    folder: 'cifar-10-batches-bin',
    images: { train: 50_000, test: 10_000 },
    downloads: [
      from(cifar, {
        name: 'cifar-10-binary.tar.gz',
        bytes: 170_052_171,
        sum: 'sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
        unpacked: [
          ['data_batch_1.bin', 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5'],
          ['data_batch_2.bin', 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed'],
          ['data_batch_3.bin', 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67'],
          ['data_batch_4.bin', '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48'],
          ['data_batch_5.bin', '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add'],
          ['test_batch.bin', '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b'],
        ].map(([name, sha256]) => ({ name, bytes: 30_730_000, sum: `sha256:${sha256}` as const })),
      }),
    ],
    terms: 'cite Krizhevsky 2009',
  },
  cifar100: {
    about: 'photographs of 100 kinds, 32×32 RGB',
    folder: 'cifar-100-binary',
    images: { train: 50_000, test: 10_000 },
    downloads: [
      from(cifar, {
        name: 'cifar-100-binary.tar.gz',
        bytes: 168_513_733,
        sum: 'sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
        unpacked: [
          {
            name: 'train.bin',
            bytes: 153_700_000,
            sum: 'sha256:f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29',
          },
          {
            name: 'test.bin',
            bytes: 30_740_000,
            sum: 'sha256:d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a',
          },
        ],
      }),
    ],
    terms: 'cite Krizhevsky 2009',
  },
  svhn: {
    about: 'house numbers, cropped digits, 32×32 RGB',
    folder: 'svhn',
    images: { train: 73_257, test: 26_032 },
    downloads: [
      from(svhn, { name: 'train_32x32.mat', bytes: 182_040_794, sum: 'md5:e26dedcc434d2e4c54c9b2d4a06d8373' }),
      from(svhn, { name: 'test_32x32.mat', bytes: 64_275_384, sum: 'md5:eb5a983be6a315427106f1b164d9cef3' }),
      from(svhn, {
        name: 'extra_32x32.mat',
        bytes: 1_329_278_602,
        sum: 'md5:a93ce644f1a588dc4d68dda5feec44a7',
        optional: true,
      }),
    ],
    terms: 'non-commercial use only; cite Netzer et al. 2011',
  },
} satisfies Record<string, Source>

export type DatasetName = keyof typeof SOURCES
