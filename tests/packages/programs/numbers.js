import Big from "big.js";
import Decimal from "decimal.js";
import { Matrix, CholeskyDecomposition, EigenvalueDecomposition, LuDecomposition, MatrixTransposeView, QrDecomposition, SingularValueDecomposition, correlation, determinant, inverse, linearDependencies, pseudoInverse, solve } from "ml-matrix";
import seedrandom from "seedrandom";

const square = () => new Matrix([[4, 1, 2], [1, 3, 0], [2, 0, 5]]);
const rounded = (matrix) => matrix.to2DArray().map((row) => row.map((n) => +n.toFixed(9) + 0));

export default {
  big: () => {
    Big.DP = 30;
    return [new Big("0.1").plus("0.2"), new Big(2).sqrt(), new Big(1).div(3), new Big("1e400").times("1e-390"), new Big(7).mod(3), new Big(-2).pow(15), new Big("123.456").round(1, Big.roundUp), new Big(5).cmp(6), new Big("1234.5678").toFixed(2), new Big("0.00001234").toExponential(2), new Big("12345").toPrecision(2)].map(String);
  },
  bigErrors: () => ["x", "1.2.3", NaN].map((text) => { try { return new Big(text).toString(); } catch (error) { return `${error.name} ${error.message}`; } }),
  decimal: () => {
    const D = Decimal.clone({ precision: 60 });
    return [new D("0.1").add("0.2"), D.sqrt(2), D.exp(1), D.ln(10), D.sin(1), D.atan2(1, 2), D.pow(2, "0.5"), D.acos(-1), new D("0xff.8"), new D(255).toHex(), new D(5).toBinary(), D.max(1, "3.5", 2), new D("1e9000000000000000").times(10), new D(-1).sqrt(), new D("3.14159").toFraction(100), D.hypot(3, 4), D.log10(1000), new D(10).toNearest(4), D.mod(-7, 3), D.cbrt(27), new D("123456.789").toSD(4), D.sum(1, 2, 3), D.tanh(0.5), D.asinh(1)].map(String);
  },
  decimalSettings: () => [Decimal.set({ rounding: Decimal.ROUND_HALF_EVEN }).rounding, new Decimal("2.5").round().toString(), Decimal.random(5).decimalPlaces() <= 5, JSON.stringify({ d: new Decimal(1.5) }), new Decimal("Infinity").isFinite()],
  matrix: () => [rounded(square().mmul(square())), determinant(square()), rounded(inverse(square())), rounded(solve(square(), Matrix.columnVector([1, 2, 3]))), rounded(pseudoInverse(new Matrix([[1, 2], [3, 4], [5, 6]]))), rounded(new MatrixTransposeView(square())), square().trace(), square().norm(), square().mean("row"), rounded(correlation(square())), rounded(linearDependencies(new Matrix([[2, 0], [4, 0]]))), rounded(Matrix.eye(2).kroneckerProduct(Matrix.ones(1, 2)))],
  decompositions: () => [new CholeskyDecomposition(square()).isPositiveDefinite(), new EigenvalueDecomposition(square()).realEigenvalues.map((n) => n.toFixed(9)), new LuDecomposition(square()).determinant.toFixed(9), rounded(new QrDecomposition(square()).upperTriangularMatrix), new SingularValueDecomposition(square()).diagonal.map((n) => n.toFixed(9)), square().toString().split("\n").length, Matrix.checkMatrix([[1]]) instanceof Matrix, square().toJSON()],
  random: () => {
    const arc = seedrandom("hello."), again = seedrandom("hello."), kept = seedrandom("s", { state: true });
    kept();
    const state = kept.state(), next = kept();
    return [arc(), arc.quick(), arc.int32(), arc.double(), again(), seedrandom("", { state: state })() === next, ["alea", "xor128", "tychei", "xorwow", "xor4096", "xorshift7"].map((name) => seedrandom[name]?.("seed")())];
  },
  randomSeeds: () => [typeof seedrandom()(), seedrandom() !== seedrandom(), seedrandom(null, { entropy: true })() < 1],
};
