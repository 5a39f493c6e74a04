print("pine")
