"""The POZOS student_list API: names and ages of students over HTTP."""
