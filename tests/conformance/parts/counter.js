export let value = 0;
export const increment = () => { value += 1; };
export default "counter";
