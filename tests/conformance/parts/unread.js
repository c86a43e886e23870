export default "nobody imports this while the script loads";
